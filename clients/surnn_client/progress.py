"""How far a stream has been told, over all of its connections. No I/O."""

from __future__ import annotations

from surnn_client.messages import Checkpoint, Chunk, EventMessage, Message, Ready

__all__ = ["Progress"]


class Progress:
    """Counts what the caller was told, and says what would come twice."""

    def __init__(self, ready: Ready) -> None:
        self.frames = ready.frames
        """The first one that no chunk has covered."""
        self.events = ready.events
        self._frame_rate = ready.model.sample_rate / ready.model.hop

    def moved(self, checkpoint: Checkpoint) -> None:
        """The stream stands elsewhere from now on."""
        self.frames, self.events = checkpoint.frames, checkpoint.events

    def news(self, message: Message) -> bool:
        """Count a message. Returns False when the caller had it before.

        Events carry their number. Chunks are cut by the server, which is told how far they came:
        where they begin and end is not the same on every connection.
        """
        if isinstance(message, Chunk):
            # Not the sum of their frames: samples that the server dropped have none.
            self.frames = round(message.end * self._frame_rate)
        elif isinstance(message, EventMessage):
            if 0 < message.number <= self.events:
                return False
            self.events += 1
        return True
