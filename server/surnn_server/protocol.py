"""The order in which a client may say things (see PROTOCOL.md). No I/O."""

from __future__ import annotations

from enum import Enum, auto

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.messages import ClientMessage, End, Keepalive, Start, parse

__all__ = ["Dialogue", "Phase"]


class Phase(Enum):
    """How far the client has got."""

    EXPECT_START = auto()
    STREAMING = auto()
    ENDED = auto()
    """The client said `end`; only the server's last messages are missing."""


class Dialogue:
    """Follows the client's side of one connection and refuses what is out of order."""

    def __init__(self, max_message_bytes: int) -> None:
        self.phase = Phase.EXPECT_START
        self._max_bytes = max_message_bytes

    def text(self, text: str) -> ClientMessage:
        """The message in a text frame. Raises `Refusal`."""
        # A character is at least a byte, so most texts need no count of their bytes.
        if len(text) > self._max_bytes or len(text.encode()) > self._max_bytes:
            self._refuse_size(len(text.encode()))
        message = parse(text)
        match message:
            case Start():
                if self.phase is not Phase.EXPECT_START:
                    raise self._unexpected("a second 'start'")
                self.phase = Phase.STREAMING
            case Keepalive() if self.phase is Phase.ENDED:
                pass  # a timer of the client's may well fire once more
            case _:
                self._check_streaming(f"'{message.type}'")
                if isinstance(message, End):
                    self.phase = Phase.ENDED
        return message

    def binary(self, data: bytes) -> None:
        """A binary frame. Raises `Refusal`."""
        if len(data) > self._max_bytes:
            self._refuse_size(len(data))
        if self.phase is not Phase.STREAMING:
            raise self._unexpected("a binary frame")

    def _check_streaming(self, seen: str) -> None:
        if self.phase is not Phase.STREAMING:
            raise self._unexpected(seen)

    def _unexpected(self, seen: str) -> Refusal:
        expected = {
            Phase.EXPECT_START: "before 'start', expected 'start' first",
            Phase.STREAMING: "in a stream, expected binary frames, markers or 'end'",
            Phase.ENDED: "after 'end', expected nothing more",
        }[self.phase]
        return Refusal(ErrorCode.UNEXPECTED_MESSAGE, f"{seen} {expected}")

    def _refuse_size(self, size: int) -> None:
        raise Refusal(
            ErrorCode.MESSAGE_TOO_BIG,
            f"message of {size} bytes, expected at most {self._max_bytes}",
        )
