"""A server as a process of its own, and what the system says that it costs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from surnn.errors import SurnnError

__all__ = ["ServerProcess", "pin", "raise_file_limit", "running_server"]

_START_S = 90.0
_STOP_S = 15.0


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server: one process, or one with others below it."""

    host: str
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """CPU time so far, of all its threads."""
        ticks = 0
        for pid in _family(self.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Resident memory; what processes share counts for each of them."""
        pages = [int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in _family(self.pid)]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def _family(pid: int) -> list[int]:
    """A process and all that it has started, and those in turn."""
    family = [pid]
    for member in family:  # grows
        for task in Path(f"/proc/{member}/task").iterdir():
            family += map(int, (task / "children").read_text().split())
    return family


@contextmanager
def running_server(
    model: str, sessions: int, *, core: int | None = None, extra: tuple[str, ...] = ()
) -> Iterator[ServerProcess]:
    """`surnn serve` with one model on a free port of 127.0.0.1, pinned to a core if one is given.

    It refuses no stream for its load: how late results then come is what is to be measured.

    Raises `SurnnError` with the server's last words when it does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "surnn_cli", "serve", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--models", model, "--max-sessions", str(sessions)]
    command += ["--log-level", "warning", *extra]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"SURNN_ADMISSION_WAIT_MS": "0"},
        )
        try:
            if core is not None:
                pin(process.pid, core)
            server = ServerProcess("127.0.0.1", port, process.pid)
            if not _ready(server, process):
                log.seek(0)
                words = log.read().decode(errors="replace").strip().splitlines()
                raise SurnnError(f"the server did not start: {' '.join(words[-1:])}")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(server: ServerProcess, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            url = f"http://{server.host}:{server.port}/readyz"
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return True
        except OSError:
            time.sleep(0.1)
    return False


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core, where the system can (pid 0: this process)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {core})


def raise_file_limit() -> None:
    """Allow as many open connections as the system permits; child processes inherit it."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
