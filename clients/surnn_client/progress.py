"""How far a stream has been told, over all of its connections. No I/O."""

from __future__ import annotations

from surnn_client.messages import Chunk, EventMessage, Message

__all__ = ["Progress"]


class Progress:
    """Counts what the caller was told, and says what would come twice."""

    def __init__(self, frames: int = 0, events: int = 0) -> None:
        self.frames = frames
        self.events = events

    def news(self, message: Message) -> bool:
        """Count a message. Returns False when the caller had it before.

        Events carry their number. Chunks are cut by the server, which is told how many frames
        are known: where they begin and end is not the same on every connection.
        """
        if isinstance(message, Chunk):
            self.frames += message.frames
        elif isinstance(message, EventMessage):
            if 0 < message.number <= self.events:
                return False
            self.events += 1
        return True
