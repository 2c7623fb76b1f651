"""What the worker does for one session in its turn: take in, answer, end, fail. No threads."""

from __future__ import annotations

import logging

from surnn import ChunkResult, SurnnError
from surnn.engine import Engine, Session
from surnn.errors import InvalidInput, InvalidSnapshot
from surnn_server.checkpoints import Checkpoints
from surnn_server.codes import ErrorCode, clipped, code_of
from surnn_server.items import Data, EndOfStream, Gap, MarkAt
from surnn_server.lines import Line, LineState
from surnn_server.outputs import Computed, Ended, Failed, Flushed, Marked, Opened, Output, Skipped
from surnn_server.tokens import TokenSealer

__all__ = ["FAULT", "Turns"]

log = logging.getLogger(__name__)

FAULT = Failed(ErrorCode.INTERNAL, "the server failed to compute this stream")


class Turns:
    """Moves lines forward, one turn at a time; with at most about `max_frames` of each."""

    def __init__(self, engine: Engine, max_frames: int, sealer: TokenSealer) -> None:
        self.engine = engine
        self.checkpoints = Checkpoints(engine, sealer)
        self.max_frames = max_frames

    def advance(self, line: Line, outputs: list[Output], *, take_data: bool) -> None:
        """Work through the line's items as far as possible without computing."""
        try:
            if line.state is LineState.NEW:
                line.session = self._open(line)
                line.state = LineState.OPEN
                line.turn_bytes = self._turn_bytes(line.session)
                self.checkpoints.opened(line, line.session)
                outputs.append(Opened())
            if line.session is not None:
                self._take_items(line, line.session, outputs, take_data)
                if line.state is LineState.ENDING and not line.session.ready:
                    self._end(line, line.session, outputs)
        except Exception as error:  # noqa: BLE001  hits this session only
            self.fail(line, outputs, error)

    def computed(
        self, line: Line, outputs: list[Output], result: ChunkResult, began: float, batch: int
    ) -> float:
        """Frames of the line were computed, in a call that began then. Returns its wait in s."""
        session = line.session
        assert session is not None, "computed a line without a session"
        arrived = _arrival(line, session.frames, began)
        position = session.ingest.position
        queue_s = began - arrived
        outputs.append(Computed(result, position, arrived, queue_s * 1000.0, batch))
        self.checkpoints.check(line, session)
        if line.inbox or line.state is LineState.ENDING:
            self.advance(line, outputs, take_data=False)
        return queue_s

    def save(self, line: Line, outputs: list[Output]) -> None:
        """After a round: save the session, which is due."""
        try:
            if self.checkpoints.visit(line, outputs):
                self.release(line)
        except Exception as error:  # noqa: BLE001  hits this session only
            self.fail(line, outputs, error)

    def fail(self, line: Line, outputs: list[Output], error: Exception) -> None:
        """End the session with an error."""
        if isinstance(error, SurnnError) and (code := code_of(error)) is not ErrorCode.INTERNAL:
            outputs.append(Failed(code, clipped(str(error))))
        else:
            log.error("session failed", exc_info=error, extra={"session": line.id})
            outputs.append(FAULT)
        self.release(line)

    def release(self, line: Line) -> None:
        """Free the slot and drop what waits. Releasing twice is harmless."""
        if line.session is not None:
            self.engine.close(line.session)
        line.session = None
        line.state = LineState.CLOSED
        line.inbox.clear()

    def _open(self, line: Line) -> Session:
        if line.snapshot is None:
            return self.engine.open(line.config)
        try:
            return self.engine.restore(line.snapshot)
        except InvalidInput as error:
            # The fault is the token's, whatever part of it does not fit.
            raise InvalidSnapshot(f"token holds no session of this model: {error}") from error
        finally:
            line.snapshot = None

    def _take_items(
        self, line: Line, session: Session, outputs: list[Output], take_data: bool
    ) -> None:
        inbox = line.inbox
        while inbox and line.state is LineState.OPEN and not line.suspending:
            item = inbox[0]
            if isinstance(item, Data):
                if not take_data or session.ready >= self.max_frames:
                    return
                if line.saving and session.ready:
                    return
                self._push(line, session, item)
                continue
            if session.ready and not isinstance(item, EndOfStream):
                return
            if not line.take(item):
                continue
            if isinstance(item, EndOfStream):
                line.dropped = session.finish()
                line.end_arrived = item.arrived
                _note_arrival(line, session, item.arrived)
                line.state = LineState.ENDING
            elif isinstance(item, Gap):
                outputs.append(self._skip(line, session, item))
            elif isinstance(item, MarkAt):
                saved = self.checkpoints.take(line, session) if item.save else None
                outputs.append(Marked(item.id, saved))
            else:
                outputs.append(Flushed())

    def _skip(self, line: Line, session: Session, item: Gap) -> Skipped:
        """Pass over dropped samples."""
        ingest = session.ingest
        first, width = ingest.position, ingest.encoding.width * ingest.channels
        # A split sample before the gap goes with it; one behind the gap begins within it.
        rest = self.engine.skip(session, item.size // width)
        session.push(ingest.encoding.silence * (rest * width + item.size % width))
        _note_arrival(line, session, item.arrived)
        return Skipped(first, ingest.position - first)

    def _push(self, line: Line, session: Session, item: Data) -> None:
        """Take in one turn's worth of the item; the rest stays at the head of the inbox."""
        payload, step = item.payload, line.turn_bytes
        if len(payload) <= step:
            if line.take(item):
                session.push(payload)
                _note_arrival(line, session, item.arrived, len(payload))
        elif line.take(item, Data(memoryview(payload)[step:], item.arrived)):
            # Decoding and resampling a long message takes time that other sessions wait for.
            session.push(payload[:step])
            _note_arrival(line, session, item.arrived, step)

    def _turn_bytes(self, session: Session) -> int:
        ingest, spec = session.ingest, session.spec
        samples = max(1, self.max_frames * spec.hop * ingest.sample_rate // spec.sample_rate)
        return samples * ingest.encoding.width * ingest.channels

    def _end(self, line: Line, session: Session, outputs: list[Output]) -> None:
        outputs.append(
            Ended(
                events=tuple(session.close_events()),
                position=session.ingest.position,
                frames=session.reported,
                sparsity=session.sparsity(),
                dropped=line.dropped,
                arrived=line.end_arrived,
            )
        )
        self.release(line)


def _note_arrival(line: Line, session: Session, arrived: float, size: int = 0) -> None:
    """Remember which data completed the newest frames; `size` bytes of it were taken in."""
    end = session.frames + session.ready
    taken, frames = line.pushed
    line.pushed = (taken + size, max(frames, end))
    if end > frames:
        line.arrivals.append((end, arrived))


def _arrival(line: Line, frames: int, default: float) -> float:
    """Arrival of the oldest data in the frames just computed, which end before `frames`."""
    oldest = line.arrivals[0][1] if line.arrivals else default
    while line.arrivals and line.arrivals[0][0] <= frames:
        line.arrivals.popleft()
    return oldest
