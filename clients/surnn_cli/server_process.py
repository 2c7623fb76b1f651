"""A server of one's own for a while: a process beside this one, on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from surnn_cli.errors import CommandError
from surnn_client import Client, ClientError

__all__ = ["running_server"]

_START_S = 60.0
_STOP_S = 10.0


@contextmanager
def running_server(model: str, *, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a server that serves one model; it is stopped on leaving.

    Raises `CommandError` with the server's own last words when it does not start.
    """
    port = _free_port()
    command = [sys.executable, "-m", "surnn_cli", "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--models", model]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--log-level", "warning"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for us; we end the server after our stream
        )
        try:
            url = f"http://127.0.0.1:{port}"
            try:
                _wait_ready(url, process)
            except CommandError as error:
                log.seek(0)
                words = log.read().decode(errors="replace").strip().splitlines()
                raise CommandError(f"{error}: {' '.join(words[-1:])}", exit_code=1) from None
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    with Client(url, timeout=2.0) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise CommandError(f"the server ended with code {process.returncode}")
            try:
                client.health()
            except ClientError:
                time.sleep(0.05)
            else:
                return
    raise CommandError(f"the server was not ready within {_START_S:g} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
