"""Addresses of a server: one base URL serves WebSocket and REST."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from surnn_client.exceptions import InvalidArgument

__all__ = ["is_loopback", "rest_url", "stream_url"]

_STREAM_PATH = "/v1/stream"
_SECURE = {"ws": False, "http": False, "wss": True, "https": True}


def stream_url(url: str) -> str:
    """Where streams connect: `localhost:8000`, `http://…` and `ws://…/v1/stream` all work.

    Raises `InvalidArgument`.
    """
    parts, secure = _split(url)
    path = parts.path.rstrip("/")
    if not path.endswith(_STREAM_PATH):
        path += _STREAM_PATH
    return parts._replace(scheme="wss" if secure else "ws", path=path).geturl()


def rest_url(url: str) -> str:
    """The base of the REST calls, for the same addresses. Raises `InvalidArgument`."""
    parts, secure = _split(url)
    path = parts.path.rstrip("/").removesuffix(_STREAM_PATH)
    return parts._replace(scheme="https" if secure else "http", path=path, query="").geturl()


def is_loopback(url: str) -> bool:
    """Does the address stay on this machine, so that no proxy should be asked?"""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _split(url: str) -> tuple[SplitResult, bool]:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        known = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise InvalidArgument(f"address is {url!r}, expected ws://host:port: {error}") from error
    if not known or parts.scheme not in _SECURE:
        raise InvalidArgument(f"address is {url!r}, expected ws://host:port or http://host:port")
    return parts, _SECURE[parts.scheme]
