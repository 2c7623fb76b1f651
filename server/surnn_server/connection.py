"""One WebSocket connection without its socket: frames in, text frames and a close out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeVarTuple

from surnn_server import replies
from surnn_server.apikeys import KeyLimits, Scope
from surnn_server.auth import Principal
from surnn_server.codes import CloseCode, ErrorCode, Refusal
from surnn_server.deadlines import Deadlines
from surnn_server.lobby import Lobby
from surnn_server.messages import ClientMessage, End, Flush, Marker, Overflow, Start
from surnn_server.outputs import Computed, Ended, Failed, Opened, Output
from surnn_server.places import Place
from surnn_server.protocol import Dialogue
from surnn_server.quotas import Quota
from surnn_server.resumption import resumption
from surnn_server.saved import Checkpointed, Suspended
from surnn_server.service import Service
from surnn_server.session import StreamSession

__all__ = ["Close", "Connection"]

Arguments = TypeVarTuple("Arguments")

log = logging.getLogger(__name__)

_CLIENT_GONE = "client_gone"
_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Close:
    """The last thing to send."""

    code: CloseCode
    reason: str


class Connection:
    """Joins what the client says, what the worker answers, and the clock.

    Lives on the event loop. The first failure, wherever it comes from, frees the session's slot
    at once; what was computed before is still sent, then the error, then the close. A failure
    that leaves the session whole waits for the worker to save it.

    Args:
        service: admits the session.
        cut: called when the client does not read the last messages: drop the connection.
        principal: who the client is, and what it may use.
    """

    def __init__(
        self, service: Service, cut: Callable[[], None], principal: Principal | None = None
    ) -> None:
        self.id = service.new_session_id()
        self._service = service
        self._settings = service.settings
        self._cut = cut
        self._principal = principal or Principal("", frozenset(Scope), Quota(KeyLimits()))
        self._dialogue = Dialogue(service.settings.max_message_bytes)
        self._may_block = False
        """Does this client want to wait where others are refused?"""
        self._session: StreamSession | None = None
        self._place: Place
        self._failure: Failed | None = None
        self._retry_after: float | None = None
        self._suspension: Failed | None = None
        """Why the session is being saved and given up."""
        self._token: Checkpointed | None = None
        """Goes with the failure."""
        self._over: str | None = None
        self._wake = asyncio.Event()
        self.on_due: Callable[[], None] = self._wake.set
        """Called when `due` has something."""
        self._read = asyncio.Event()
        self._seq = 0
        self._deadlines = Deadlines(service.settings, self.fail)
        self._span = service.tracer.start_span(
            "surnn.connection", attributes={"surnn.session": self.id}
        )
        self._log = logging.LoggerAdapter(log, {"session": self.id})
        service.connected(self)
        self._guarded(self._enter, service.lobby)

    # From the client.

    def text(self, text: str) -> None:
        """A text frame arrived."""
        if self._hears():
            self._guarded(self._read_text, text)

    def binary(self, data: bytes) -> None:
        """A binary frame arrived."""
        if self._hears():
            # As `_guarded`, without its call: this is where nearly all messages come.
            try:
                self._take(data)
            except Exception as error:  # noqa: BLE001  logged, and told to the client
                self._failed(error)

    async def room(self) -> None:
        """Wait while the client's next message should not be read."""
        while self.full:
            self._deadlines.heard()
            self._read.clear()
            # Not every step of the worker has an output that would wake us.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._read.wait()

    def gone(self) -> None:
        """The connection is over, however it ended. Calling it again is harmless."""
        self._finish(_CLIENT_GONE)
        self._deadlines.cancel()
        self._span.end()
        self._service.disconnected(self)

    # To the client.

    async def outgoing(self) -> AsyncGenerator[bytes | Close, None]:
        """Text frames as they become due, then one `Close`."""
        while True:
            texts, close = self.due(1)
            for text in texts:
                yield text
            if close is not None:
                yield close
                return
            if not texts:
                self._wake.clear()
                await self._wake.wait()

    def due(self, most: int) -> tuple[list[bytes], Close | None]:
        """Text frames that can be sent now, about `most` of them, and what comes after the last.

        Fewer than `most` are all that there are.
        """
        texts: list[bytes] = []
        session = self._session
        if session is not None:
            outbox = session.outbox
            while outbox:
                if len(texts) >= most:
                    return texts, None
                output = outbox.popleft()
                self._encode_output(session, output, texts)
                if isinstance(output, Ended):
                    self._finish("end")
                    return texts, Close(CloseCode.DONE, "")
        failed = self._failure
        if failed is None:
            return texts, None
        texts.append(
            self._encode(replies.error(failed.code, failed.message, self._retry_after, self._token))
        )
        return texts, Close(failed.code.close, failed.code.value)

    @property
    def full(self) -> bool:
        """Should the client's next message not be read?"""
        if not self._may_block or self._over is not None or self._session is None:
            return False
        return self._session.blocked

    def fail(self, code: ErrorCode, message: str, retry_after: float | None = None) -> None:
        """End the session with an error, with a token where it can go on. The first counts."""
        if self._failure is not None or self._over is not None:
            return
        if not code.suspends or self._session is None:
            self._fail(code, message, retry_after)
        elif self._suspension is None:
            self._suspension = Failed(code, message)
            self._session.suspend()
            self._deadlines.suspending(lambda: self._fail(code, message, retry_after))
            self._retry_after = retry_after

    @property
    def key(self) -> str:
        """Name of the client's API key."""
        return self._principal.name

    @property
    def session(self) -> StreamSession | None:
        """The session, while it lives."""
        return self._session if self._over is None else None

    def _fail(self, code: ErrorCode, message: str, retry_after: float | None = None) -> None:
        if self._failure is not None or self._over is not None:
            return
        self._failure = Failed(code, message)
        self._retry_after = retry_after
        self._service.metrics.error(code)
        if self._session is None:
            self._service.metrics.rejected.labels(code.value).inc()
            self._log.info("connection %s refused: %s: %s", self.id, code.value, message)
        self._finish(code.value)
        self._expect_progress()

    def _hears(self) -> bool:
        self._deadlines.heard()
        return self._failure is None and self._over is None and self._suspension is None

    def _guarded(self, action: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001  logged, and told to the client
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Refusal):
            self.fail(error.code, error.message, error.retry_after)
            return
        self._log.error("connection %s failed", self.id, exc_info=error)
        self.fail(ErrorCode.INTERNAL, "the server failed to handle a message")

    def _take(self, data: bytes) -> None:
        self._dialogue.binary(data)
        session, quota = self._session, self._principal.quota
        assert session is not None, "the dialogue let a message pass before 'start'"
        if quota.counts_audio:
            quota.audio(session.seconds(data))
        session.data(data)

    def _read_text(self, text: str) -> None:
        self._obey(self._dialogue.text(text))

    def _obey(self, message: ClientMessage) -> None:
        match message:
            case Start():
                self._start(message)
            case Marker():
                self._streaming.marker(message.id)
            case Flush():
                self._streaming.flush()
            case End():
                self._deadlines.said_all()
                self._streaming.end()

    @property
    def _streaming(self) -> StreamSession:
        assert self._session is not None, "the dialogue let a message pass before 'start'"
        return self._session

    def _enter(self, lobby: Lobby) -> None:
        lobby.enter(self)
        self._deadlines.connected()

    def _start(self, start: Start) -> None:
        service = self._service
        service.check_accepting()
        resumed = resumption(start, service.sealer, service.fingerprints)
        model, snapshot = (resumed.model, resumed.snapshot) if resumed else (start.model, None)
        place = Place(service, self._principal, model, snapshot)
        with place.taking():
            self._session = StreamSession(
                place.worker, start, self._settings, self._arrived, self.id, snapshot
            )
        self._place = place
        self._may_block = start.overflow is Overflow.BLOCK
        self._service.lobby.leave(self)
        self._deadlines.started()
        self._span.set_attribute("surnn.model", place.name)
        how = "resumed" if snapshot else "started"
        self._log.info("session %s %s: model %s", self.id, how, place.name)

    def _finish(self, reason: str) -> None:
        """Free what the session holds."""
        if self._over is not None:
            return
        self._over = reason
        self._service.lobby.leave(self)
        self._span.set_attribute("surnn.reason", reason)
        self.on_due()
        self._read.set()
        if self._session is None:
            return
        self._session.close()
        self._place.leave(reason)
        self._log.info("session %s ended: %s", self.id, reason)

    def _arrived(self) -> None:
        """The worker answered."""
        session = self._streaming
        last = session.outbox[-1]
        if isinstance(last, Failed):
            session.outbox.pop()
            self._fail(last.code, last.message)
        elif isinstance(last, Suspended):
            session.outbox.pop()
            assert self._suspension is not None, "the worker suspends what it was asked to"
            self._token = last.checkpoint
            self._fail(self._suspension.code, self._suspension.message, self._retry_after)
        elif isinstance(last, Ended):
            self._expect_progress()
        elif len(session.outbox) > self._settings.max_unsent_results:
            self.fail(
                ErrorCode.SLOW_READER,
                f"{len(session.outbox)} results wait to be read, "
                f"expected at most {self._settings.max_unsent_results}",
            )
            session.outbox.clear()
        self.on_due()
        self._read.set()

    def _encode_output(self, session: StreamSession, output: Output, texts: list[bytes]) -> None:
        now = time.perf_counter()
        if isinstance(output, Computed):
            session.latency.observe(now - output.arrived)
        elif isinstance(output, Opened):
            texts.append(self._encode(session.ready(self.id)))
            return
        for message in session.messages(output, now):
            texts.append(replies.encode(message, self._seq))
            self._seq += 1

    def _encode(self, message: replies.Reply) -> bytes:
        text = replies.encode(message, self._seq)
        self._seq += 1
        return text

    def _expect_progress(self) -> None:
        self._deadlines.last_messages(lambda: self._seq, self._cut_off)

    def _cut_off(self) -> None:
        self._log.info("connection %s cut: its last messages are not read", self.id)
        self._cut()
