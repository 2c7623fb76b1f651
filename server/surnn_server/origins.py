"""Which web pages may talk to the server. No I/O.

A browser sends a page's origin with every WebSocket, and lets any page open one: without this
check every site that a user visits could use a server on the user's own machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from surnn_server.codes import ErrorCode, Refusal

__all__ = ["check_host", "check_origin", "is_loopback"]

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def check_origin(
    origin: str | None, host: str | None, allowed: Sequence[str], *, local: bool
) -> None:
    """Raises `Refusal` for a page of another host.

    Args:
        origin: the `Origin` header; programs that are no browsers send none.
        host: the `Host` header.
        allowed: origins that may come besides the server's own, `*` for all.
        local: does the server listen on this machine only?
    """
    if origin is None or "*" in allowed or origin.rstrip("/").lower() in _lowered(allowed):
        return
    place = _place(origin)
    # A foreign name that leads to this machine (DNS rebinding) would have host and origin agree.
    if place and place == _place(f"http://{host}", origin) and (not local or is_loopback(place[0])):
        return
    raise Refusal(
        ErrorCode.ORIGIN_REFUSED,
        f"origin is {origin[:80]!r}, expected the server's own or one of SURNN_ALLOWED_ORIGINS",
    )


def check_host(host: str | None, allowed: Sequence[str]) -> None:
    """Raises `Refusal` for a request that came to a server of this machine by a foreign name.

    A web page can let its own name lead to this machine (DNS rebinding), and would then read
    whatever an open server says: browsers send no origin with what looks like their own site.

    Args:
        host: the `Host` header; browsers always send one.
        allowed: origins of which the names are known to be ours, `*` for any.
    """
    if host is None or "*" in allowed:
        return
    place = _place(f"http://{host}")
    names = {named[0] for item in allowed if (named := _place(item)) is not None}
    if place is None or not (is_loopback(place[0]) or place[0] in names):
        raise Refusal(
            ErrorCode.ORIGIN_REFUSED,
            f"host is {host[:80]!r}, expected a name of this machine or one of "
            "SURNN_ALLOWED_ORIGINS, because anyone may use this server",
        )


def is_loopback(host: str) -> bool:
    """Does the name or address stay on this machine?"""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _lowered(allowed: Sequence[str]) -> set[str]:
    return {item.rstrip("/").lower() for item in allowed}


def _place(url: str, like: str | None = None) -> tuple[str, int] | None:
    """Host and port; the default port is that of `like`'s scheme."""
    try:
        parts = urlsplit(url)
        scheme = urlsplit(like or url).scheme
        if not parts.hostname or scheme not in _PORTS:
            return None
        return parts.hostname, parts.port or _PORTS[scheme]
    except ValueError:
        return None
