"""A session's place on the server: admitted, counted, given back once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from surnn_server.auth import Principal
from surnn_server.messages import Start
from surnn_server.resumption import resumption
from surnn_server.service import Service
from surnn_server.worker import Worker

__all__ = ["Place"]


class Place:
    """Holds what a session takes from its model, its client's quota and the metrics.

    Raises `Refusal` when there is none for what `start` asks.
    """

    def __init__(self, service: Service, principal: Principal, start: Start) -> None:
        service.check_accepting()
        resumed = resumption(start, service.sealer, service.fingerprints)
        model = resumed.model if resumed else start.model
        principal.require_model(model)
        self.worker: Worker = service.admit(model)
        self.snapshot = resumed.snapshot if resumed else None
        """Where the session goes on; None: it begins."""
        self._metrics = service.metrics
        with ExitStack() as given:
            given.callback(service.leave)
            principal.quota.enter()
            given.callback(principal.quota.leave)
            self._given = given.pop_all()

    @property
    def name(self) -> str:
        """The model's."""
        return self.worker.spec.name

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Count the session once the block is done; give the place back if it fails."""
        try:
            yield
        except BaseException:
            self._given.close()
            raise
        self._metrics.started.labels(self.name).inc()
        self._metrics.active.labels(self.name).inc()
        if self.snapshot is not None:
            self._metrics.resumed.labels(self.name).inc()

    def leave(self, reason: str) -> None:
        """The session is over."""
        self._given.close()
        self._metrics.active.labels(self.name).dec()
        self._metrics.ended.labels(self.name, reason).inc()
