"""The tutorial's commands run as they stand there, on short recordings and with few steps."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import surnn.project.example as example

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("surnn ")]


def surnn(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "surnn_cli", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_command_works(tmp_path: Path) -> None:
    said: dict[str, str] = {}
    server: subprocess.Popen[bytes] | None = None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    try:
        for _, name, *rest in commands():
            arguments = [a.replace("8000", port) for a in (name, *rest)]
            if name == "serve":
                server = subprocess.Popen(
                    [sys.executable, "-m", "surnn_cli", *arguments, "--log-level", "warning"],
                    cwd=tmp_path,
                    start_new_session=True,
                )
                _wait(server, f"http://127.0.0.1:{port}/readyz")
                continue
            if name == "train":
                arguments += ["--steps", "6"]
            done = surnn(arguments, tmp_path)
            assert done.returncode == 0, (arguments, done.stderr)
            said[" ".join((name, *rest))] = done.stdout
            if name == "new":  # the same recordings, cut short: this is about the commands
                example.write_example(tmp_path / "sounds" / "data", sensor=False, seconds=6.0)
    finally:
        if server is not None:
            server.terminate()
            server.wait(20)
    figures = json.loads(said["eval sounds/model sounds/data --part test --json"])
    assert figures["data"]["part"] == "test"
    assert set(figures["labels"]) == set(example.SOUNDS)
    for file in ("model.onnx", "report.html", "README.md", "metrics.json", "data.json"):
        assert (tmp_path / "sounds" / "model" / file).is_file(), file


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None, "the server did not start"
        assert time.monotonic() < deadline, "the server took too long to start"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TUTORIAL.read_text()):
        assert (TUTORIAL.parent / target).exists(), target
