"""One port, many listeners: the kernel spreads new connections over them."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from surnn.errors import InvalidConfig

__all__ = ["Address", "listen", "reserved"]


@dataclass(frozen=True, slots=True)
class Address:
    """A resolved address."""

    family: socket.AddressFamily
    place: tuple[Any, ...]
    """As the socket module takes it."""

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.place[1])


def listen(address: Address) -> socket.socket:
    """A socket bound there, beside those of other processes. Raises `OSError`."""
    bound = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address.place)
    except BaseException:
        bound.close()
        raise
    bound.set_inheritable(True)
    return bound


@contextlib.contextmanager
def reserved(host: str, port: int) -> Iterator[list[Address]]:
    """The addresses of a host, bound so that nobody else takes them, with one port for all.

    Nothing listens on these sockets, so the kernel sends them no connection.

    Raises `InvalidConfig` where they cannot be had, or the system cannot share a port.
    """
    if sys.platform != "linux":
        raise InvalidConfig(f"several workers on {sys.platform}, expected Linux: set workers to 1")
    with contextlib.ExitStack() as sockets:
        try:
            addresses = _bound(host, port, sockets)
        except OSError as error:
            raise InvalidConfig(
                f"cannot listen on port {port} of {host!r} ({error.strerror}), "
                "expected a free port of this machine"
            ) from error
        yield addresses


def _bound(host: str, port: int, sockets: contextlib.ExitStack) -> list[Address]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses: list[Address] = []
    for family, _, _, _, place in dict.fromkeys(found):
        if addresses:
            place = (place[0], addresses[0].port, *place[2:])
        address = Address(socket.AddressFamily(family), place)
        _check_free(address)
        bound = sockets.enter_context(listen(address))
        chosen = bound.getsockname()[1]
        addresses.append(replace(address, place=(place[0], chosen, *place[2:])))
    return addresses


def _check_free(address: Address) -> None:
    """Raises `OSError` where another server listens: it would share its port with us."""
    with socket.socket(address.family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address.place)
