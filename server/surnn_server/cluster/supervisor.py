"""Starts the members of a server, replaces those that die, stops all."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from cryptography.fernet import Fernet

from surnn.errors import InvalidConfig
from surnn_server.cluster.addresses import Address, reserved
from surnn_server.cluster.ledger import Ledger
from surnn_server.cluster.member import run_member
from surnn_server.settings import Settings
from surnn_server.tokens import new_key

__all__ = ["Supervisor", "supervise"]

log = logging.getLogger(__name__)

_STARTS_S = 120.0
_LIVED_S = 10.0
"""A member that died younger is not replaced at once: whatever is wrong may not go away."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_TRIES = 3
"""Of a first member that is killed before it can serve: more often is no chance."""
_LONGEST_FOLDER = 90
"""The path of a Unix socket may have 107 characters."""
_MARGIN_S = 10.0
"""Beyond the time that members have to drain."""


def supervise(settings: Settings) -> None:
    """Serve with several processes until interrupted.

    Raises `InvalidConfig` when the port is taken, or with what stopped a member from starting.
    """
    settings = _with_keys(settings)
    with tempfile.TemporaryDirectory(prefix="surnn-") as name:
        folder = Path(name)
        if len(name) > _LONGEST_FOLDER:
            raise InvalidConfig(
                f"temporary folder is {name!r}, expected at most {_LONGEST_FOLDER} characters, "
                "so that sockets can be in it: set TMPDIR"
            )
        if not settings.data_dir:
            # Jobs shall outlive the member that runs them.
            jobs = folder / "jobs"
            jobs.mkdir()
            settings = settings.model_copy(update={"data_dir": str(jobs)})
        with reserved(settings.host, settings.port) as addresses:
            Supervisor(settings, folder, addresses).run()


def _with_keys(settings: Settings) -> Settings:
    """Random keys have to be the same for all members."""
    keys: dict[str, tuple[str, ...]] = {}
    if not settings.state_keys:
        keys["state_keys"] = (new_key(),)
        log.info(
            "no state key is set: streams survive lost connections and lost workers, but not a "
            "restart of this server; `surnn key` prints one for SURNN_STATE_KEYS"
        )
    if not settings.token_keys:
        keys["token_keys"] = (Fernet.generate_key().decode(),)
    return settings.model_copy(update=keys)


class Supervisor:
    """Looks after the members.

    Args:
        settings: of all of them, with keys.
        folder: private to the members.
        addresses: to listen on.
    """

    def __init__(self, settings: Settings, folder: Path, addresses: Sequence[Address]) -> None:
        self._settings = settings
        self._folder = folder
        self._addresses = list(addresses)
        self._context = multiprocessing.get_context("spawn")
        self._ledger = Ledger(folder / "ledger", settings.workers)
        self._members: dict[int, SpawnProcess] = {}
        self._born: dict[int, float] = {}
        self._pauses: dict[int, float] = {}
        self._due: dict[int, float] = {}
        """When to start members that are missing."""
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> None:
        """Until a signal asks to stop. Raises `InvalidConfig` when a first member cannot start."""
        before = {
            number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self._start_all()
            if not self._stopping:
                port = self._addresses[0].port
                log.info("%d workers serve port %d", self._settings.workers, port)
            while not self._stopping:
                self._look_after()
        finally:
            self._end_all()
            for number, handler in before.items():
                signal.signal(number, handler)
            self._ledger.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True
        os.write(self._wake_write, b".")

    def _start(self, number: int) -> Connection:
        ready, told = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=run_member,
            args=(self._settings, number, self._folder, self._addresses, told),
            name=f"surnn-worker-{number}",
        )
        process.start()
        told.close()
        self._members[number], self._born[number] = process, time.monotonic()
        return ready

    def _start_all(self) -> None:
        waiting = {self._start(number): number for number in range(self._settings.workers)}
        tries = dict.fromkeys(waiting.values(), 1)
        deadline = time.monotonic() + _STARTS_S
        while waiting and not self._stopping:
            left = max(0.0, deadline - time.monotonic())
            heard = multiprocessing.connection.wait([*waiting, self._wake_read], left)
            if not heard:
                raise InvalidConfig(f"workers {sorted(waiting.values())} did not start in time")
            for ready in heard:
                if not isinstance(ready, Connection):
                    continue
                number = waiting.pop(ready)
                if self._is_up(number, ready) or self._stopping:
                    continue
                if tries[number] == _TRIES:
                    raise InvalidConfig(
                        f"worker {number}: it ended at its start {_TRIES} times, expected it to "
                        "serve: see the log"
                    )
                tries[number] += 1
                process = self._members.pop(number)
                process.join()
                log.error("worker %d ended at its start (%s), again", number, process.exitcode)
                waiting[self._start(number)] = number

    def _is_up(self, number: int, ready: Connection) -> bool:
        """Does it serve, or has it gone without a word? Raises `InvalidConfig` with its word."""
        try:
            problem = ready.recv()
        except EOFError:
            return False
        finally:
            ready.close()
        if problem is not None and not self._stopping:
            raise InvalidConfig(f"worker {number}: {problem}")
        return True

    def _look_after(self) -> None:
        """Wait for a death, or for the time to replace somebody."""
        sentinels = {process.sentinel: number for number, process in self._members.items()}
        now = time.monotonic()
        left = min([moment - now for moment in self._due.values()], default=None)
        heard = multiprocessing.connection.wait(
            [*sentinels, self._wake_read], None if left is None else max(0.0, left)
        )
        for sentinel in heard:
            if not self._stopping and isinstance(sentinel, int) and sentinel in sentinels:
                self._died(sentinels[sentinel])
        for number, moment in list(self._due.items()):
            if not self._stopping and moment <= time.monotonic():
                del self._due[number]
                self._start(number).close()

    def _died(self, number: int) -> None:
        process = self._members.pop(number)
        process.join()
        lived = time.monotonic() - self._born[number]
        self._ledger.forget(number)
        pause = self._pauses.get(number, 0.0)
        pause = 0.0 if lived > _LIVED_S else min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * pause))
        self._pauses[number] = pause
        self._due[number] = time.monotonic() + pause
        log.error("worker %d ended (%s), it is replaced", number, process.exitcode)

    def _end_all(self) -> None:
        """Let every member drain; end those that take too long."""
        for process in self._members.values():
            process.terminate()
        deadline = time.monotonic() + self._settings.drain_timeout_s + _MARGIN_S
        for number, process in self._members.items():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.warning("worker %d did not end in time", number)
                process.kill()
                process.join()
