"""Following the models folder: new sessions get the newest version, old ones finish on theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from surnn import Model
from surnn.errors import CorruptModel
from surnn_server.metrics import Metrics
from surnn_server.repository import Candidate, Stamp, find_candidates, open_candidate

__all__ = ["ModelFolder", "Reloaded"]

log = logging.getLogger(__name__)


@dataclass
class Reloaded:
    """What a look into the folder changed."""

    loaded: dict[str, str] = field(default_factory=dict)
    """Versions by name that new sessions use from now on."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why files were not taken, by name; what was served before goes on."""


class ModelFolder:
    """Looks for new and changed models. Nothing is ever taken away: a file that is gone may be
    on its way to being replaced.

    Args:
        folder: to follow.
        max_bytes: larger files are refused.
        reserved: names that the folder may not give.
        use: warms a model up and serves it from then on.
        metrics: where to count.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        reserved: frozenset[str],
        use: Callable[[Model], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._reserved = reserved
        self._use = use
        self._metrics = metrics
        self._seen: dict[str, tuple[Path, Stamp]] = {}
        self._refused: dict[str, str] = {}
        self._turn = asyncio.Lock()

    async def follow(self, every_s: float) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(every_s)
            await self.look()

    async def look(self) -> Reloaded:
        """Take in what has changed since the last look."""
        async with self._turn:
            result = Reloaded()
            try:
                found = await asyncio.to_thread(find_candidates, self._folder)
            except OSError as error:
                log.error("models folder cannot be read: %s", error.strerror)
                return result
            for name, candidate in found.items():
                place = (candidate.path, candidate.stamp)
                if self._seen.get(name) == place:
                    if name in self._refused:
                        result.refused[name] = self._refused[name]
                    continue
                self._seen[name] = place
                await self._take(candidate, result)
            return result

    async def _take(self, candidate: Candidate, result: Reloaded) -> None:
        name = candidate.name
        self._refused.pop(name, None)
        try:
            if name in self._reserved:
                raise CorruptModel(
                    f"model {name!r} is named in SURNN_MODELS already, expected another name"
                )
            model = await asyncio.to_thread(open_candidate, candidate, self._max_bytes)
            await self._use(model)
        except Exception as error:
            # A file may be wrong in any way: whatever it is, the server goes on.
            known = isinstance(error, CorruptModel)
            reason = str(error) if known else f"model {name!r} failed to run"
            log.error("not loaded: %s", reason, exc_info=None if known else error)
            self._refused[name] = result.refused[name] = reason
            self._metrics.reloads.labels("refused").inc()
        else:
            result.loaded[name] = model.spec.version
            self._metrics.reloads.labels("loaded").inc()
            log.info("serving %s version %s", name, model.spec.version)
