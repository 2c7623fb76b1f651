"""The least WebSocket client that can stream (RFC 6455), cheap enough to play 2,000 of them.

Frames are masked with a key of zeros, so that one encoded frame serves every stream. That is
valid, and unwise anywhere but in a load generator.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable

__all__ = ["BINARY", "TEXT", "LoadStream", "encode_frame", "split_frames"]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_FINAL, _MASKED = 0x80, 0x80
_NO_MASK = bytes(4)


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """One client frame."""
    size = len(payload)
    head = bytes([_FINAL | opcode])
    if size < 126:
        head += bytes([_MASKED | size])
    elif size < 1 << 16:
        head += bytes([_MASKED | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([_MASKED | 127]) + size.to_bytes(8, "big")
    return head + _NO_MASK + payload


def split_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Opcodes and payloads of the whole server frames in `data`, and what is left."""
    frames: list[tuple[int, bytes]] = []
    at, end = 0, len(data)
    while end - at >= 2:
        size, begin = data[at + 1] & 0x7F, at + 2
        if size >= 126:
            extra = 2 if size == 126 else 8
            if end - begin < extra:
                break
            size = int.from_bytes(data[begin : begin + extra], "big")
            begin += extra
        if end - begin < size:
            break
        frames.append((data[at] & 0x0F, data[begin : begin + size]))
        at = begin + size
    return frames, data[at:]


class LoadStream(asyncio.Protocol):
    """One connection: hands every text message to `receive`, answers pings."""

    def __init__(self, host: str, path: str, receive: Callable[[bytes], None]) -> None:
        self._receive = receive
        key = base64.b64encode(os.urandom(16)).decode()
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        self._rest = b""
        self._upgraded = False
        self.transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take in bytes of any number of frames."""
        data = self._rest + data
        if not self._upgraded:
            head, separator, data = data.partition(b"\r\n\r\n")
            if not separator:
                self._rest = head
                return
            status = head.split(b"\r\n", 1)[0]
            if b" 101 " not in status:
                self.opened.set_exception(ConnectionError(f"refused: {status.decode()}"))
                return
            self._upgraded = True
            if not self.opened.done():  # nobody may wait any more
                self.opened.set_result(None)
        frames, self._rest = split_frames(data)
        for opcode, payload in frames:
            if opcode == TEXT:
                self._receive(payload)
            elif opcode == PING:
                self.write(encode_frame(PONG, payload))
            elif opcode == CLOSE and self.transport:
                self.transport.close()

    def cut(self) -> None:
        """Be gone, whatever has been said so far."""
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed before it was open"))
            self.opened.exception()  # there may be nobody to ask for it
        if not self.closed.done():
            self.closed.set_result(None)

    def write(self, frame: bytes) -> None:
        """Send an encoded frame, if the connection still stands."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(frame)
