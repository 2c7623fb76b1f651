"""When a session is saved, and as what. Runs in the worker's thread, between its turns."""

from __future__ import annotations

import logging
import random
import time

from surnn import SurnnError
from surnn.engine import Engine, Session
from surnn.snapshot import Snapshot
from surnn_server.lines import Line, LineState
from surnn_server.outputs import Output
from surnn_server.saved import Checkpointed, NotReplaced, Replaced, Suspended
from surnn_server.tokens import TokenSealer

__all__ = ["Checkpoints"]

log = logging.getLogger(__name__)


class Checkpoints:
    """Seals the sessions of one engine.

    Only sessions with no whole frame waiting are saved: a token then holds less than a frame of
    samples, and everything before it has been reported.
    """

    def __init__(self, engine: Engine, sealer: TokenSealer) -> None:
        self._engine = engine
        self._sealer = sealer
        self.taken = 0
        """Tokens sealed so far."""

    def opened(self, line: Line, session: Session) -> None:
        """A session begins: plan its first checkpoint."""
        line.saved_position = session.ingest.position
        # Sessions that came together, as after a restart, must not be saved together for ever.
        self._plan(line, session, line.checkpoint_interval_s * random.uniform(0.5, 1.0))

    def check(self, line: Line, session: Session) -> None:
        """Frames were computed: is a checkpoint due?"""
        if not line.checkpoint_interval_s or line.checkpoint_due:
            return
        when, position = line.checkpoint_at
        line.checkpoint_due = (
            session.ingest.position >= position or time.perf_counter() >= when
        ) and session.ingest.position > line.saved_position

    def visit(self, line: Line, outputs: list[Output]) -> bool:
        """Save the session if that is due and possible. Returns True when it is to be released."""
        session = line.session
        if session is None or line.state is not LineState.OPEN or session.ready:
            return False
        if line.replacements:
            outputs.append(self._replace(line, session, line.replacements.popleft()))
            return False
        if line.suspending:
            outputs.append(Suspended(self.take(line, session)))
            return True
        if line.checkpoint_due or line.checkpoint_asked:
            line.checkpoint_due = line.checkpoint_asked = False
            checkpoint = self.take(line, session)
            if checkpoint is not None:
                outputs.append(checkpoint)
            self._plan(line, session, line.checkpoint_interval_s)
        return False

    def take(self, line: Line, session: Session) -> Checkpointed | None:
        """The session as it stands now, which no frame may wait in; None: it cannot be saved."""
        try:
            token = self._sealer.seal(self._engine.save(session))
        except SurnnError as error:
            # A stream that cannot be saved can still be computed.
            log.warning("session not saved: %s", error)
            return None
        self.taken += 1
        line.saved_position = session.ingest.position
        return Checkpointed(token, session.ingest.position, session.reported, session.events)

    def _replace(self, line: Line, session: Session, snapshot: Snapshot) -> Replaced | NotReplaced:
        """Let the line go on from a state, and with what has come of its next sample."""
        own, before = self._engine.save(session), session.ingest.position
        outcome: Replaced | NotReplaced
        # Its own slot is then free, so that a full pool is no hindrance, and no other is touched.
        self._engine.close(session)
        try:
            token = self._sealer.seal(snapshot)
            new = self._engine.restore(snapshot)
            saved = Checkpointed(token, new.ingest.position, new.reported, new.events)
            outcome = Replaced(saved, before)
        except SurnnError as error:
            new = self._engine.restore(own)
            outcome = NotReplaced(str(error))
        new.push(session.ingest.split)
        line.session = new
        line.arrivals.clear()
        line.pushed = (line.pushed[0], new.frames + new.ready)
        line.saved_position = new.ingest.position
        self._plan(line, new, line.checkpoint_interval_s)
        return outcome

    def _plan(self, line: Line, session: Session, seconds: float) -> None:
        samples = round(seconds * session.ingest.sample_rate)
        line.checkpoint_at = (time.perf_counter() + seconds, session.ingest.position + samples)
