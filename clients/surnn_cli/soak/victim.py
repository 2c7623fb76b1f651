"""The server of a soak: killed, drained and replaced; watched from outside meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import orjson

from surnn.bench.process import ServerProcess
from surnn.errors import SurnnError

__all__ = ["Victim"]

_START_S = 90.0
_DRAIN_S = 30.0
_EXPECTED = ("not loaded: model",)
"""What is logged as an error on purpose: a damaged model file was refused."""


class Victim:
    """One server after the other, each on a port of its own.

    Args:
        environment: settings, the same for all of them.
        folder: for their logs.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._logs: list[Path] = []
        self.server = ServerProcess("127.0.0.1", 0, 0)
        self.unclean: list[str] = []
        """Ends that were not as they should be."""

    @property
    def started(self) -> int:
        """Servers so far."""
        return len(self._logs)

    async def start(self) -> int:
        """Start the next one; returns its port once it is ready. Raises `SurnnError`."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        log = self._folder / f"server-{len(self._logs)}.log"
        self._logs.append(log)
        command = [sys.executable, "-m", "surnn_cli", "serve", "--port", str(port)]
        with log.open("wb") as file:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for us
            )
        self.server = ServerProcess("127.0.0.1", port, self._process.pid)
        deadline = time.monotonic() + _START_S
        while await self.get("/readyz") is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SurnnError(f"the server did not start: {log.read_text()[-500:]}")
            await asyncio.sleep(0.05)
        return port

    async def kill(self) -> None:
        """SIGKILL: no goodbye, no last checkpoint."""
        assert self._process is not None, "a server was started"
        if self._process.poll() is not None:
            self.unclean.append(f"ended by itself with code {self._process.returncode}")
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def drain(self) -> float:
        """SIGTERM; returns how long it took to end, in seconds."""
        assert self._process is not None, "a server was started"
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(self._process.wait, _DRAIN_S)
        except subprocess.TimeoutExpired:
            self.unclean.append(f"did not end within {_DRAIN_S:g} s of SIGTERM")
            await self.kill()
        else:
            # uvicorn raises the signal again once everything is done.
            if code not in (0, -signal.SIGTERM):
                self.unclean.append(f"ended with code {code} after SIGTERM")
        return time.monotonic() - began

    def stop(self) -> None:
        """End the last one, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def open_files(self) -> int:
        """Files and sockets of the server; 0 where the system does not say."""
        try:
            return len(os.listdir(f"/proc/{self.server.pid}/fd"))
        except OSError:
            return 0

    def memory_bytes(self) -> int:
        """Resident memory; 0 where the system does not say."""
        try:
            return self.server.memory_bytes()
        except OSError:
            return 0

    async def metrics(self) -> dict[str, float]:
        """Sums over all labels, by name. Empty when there is no answer."""
        text = await self.get("/metrics")
        sums: dict[str, float] = {}
        for line in (text or "").splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    async def get(self, path: str) -> str | None:
        """The answer's text; None when there is none, or an error."""
        url = f"http://127.0.0.1:{self.server.port}{path}"

        def fetch() -> str | None:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return str(answer.read().decode())
            except OSError:
                return None

        return await asyncio.to_thread(fetch)

    def surprises(self) -> list[str]:
        """Lines of all logs that nobody expected: errors, and what is no log line at all."""
        found = []
        for log in self._logs:
            for line in log.read_text(errors="replace").splitlines():
                try:
                    entry = orjson.loads(line)
                except orjson.JSONDecodeError:
                    found.append(line)
                    continue
                bad = entry.get("level") in ("error", "critical")
                if bad and not str(entry.get("message")).startswith(_EXPECTED):
                    found.append(line)
        return found
