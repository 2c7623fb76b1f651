from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from surnn_cli.errors import CommandError
from surnn_cli.server_process import running_server

Run = Callable[..., Result]


def test_the_demo_shows_the_whole_way(surnn: Run, tiny_model: Path) -> None:
    result = surnn("demo", "--speed", "100", "--model", tiny_model)
    assert (result.exit_code, result.stderr) == (0, "")
    text = result.stdout
    assert "\x1b" not in text
    for expected in (
        "server of model tiny ready at http://127.0.0.1:",
        "streaming demo.flac, 33.6 s",
        "speech  start",
        "latency",
        "open rate |",
        "layer 1,    4 neurons:",
        "skipped",
        "faster than real time",
        "Apache-2.0",
        "surnn score FOLDER",
    ):
        assert expected in text


def test_the_shipped_model_hears_the_demo_recording(surnn: Run) -> None:
    result = surnn("demo", "--speed", "100")
    assert result.exit_code == 0
    starts = [line for line in result.stdout.splitlines() if "speech  start" in line]
    assert 3 <= len(starts) <= 20


def test_a_server_that_does_not_start_tells_why(tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"not a model")
    with (
        pytest.raises(CommandError, match="the server ended with code") as caught,
        running_server(str(broken)),
    ):
        pass
    assert caught.value.exit_code == 1


def test_a_demo_without_a_model(surnn: Run) -> None:
    result = surnn("demo", "--model", "nix")
    assert result.exit_code == 2
    assert "error: no model 'nix'" in result.stderr
