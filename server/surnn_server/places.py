"""A session's place on the server: admitted, counted, given back once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from surnn.snapshot import Snapshot
from surnn_server.auth import Principal
from surnn_server.service import Service
from surnn_server.worker import Worker

__all__ = ["Place"]


class Place:
    """Holds what a session takes from its model, its client's quota and the metrics.

    Args:
        service: admits it.
        principal: whose session it is.
        model: name of a served model.
        snapshot: where the session goes on; None: it begins.

    Raises `Refusal` when there is none.
    """

    def __init__(
        self,
        service: Service,
        principal: Principal,
        model: str,
        snapshot: Snapshot | None = None,
    ) -> None:
        principal.require_model(model)
        self.worker: Worker = service.admit(model)
        self.snapshot = snapshot
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
