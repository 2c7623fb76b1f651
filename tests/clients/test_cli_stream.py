import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

Run = Callable[..., Result]


def messages(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(params=["embedded", "server"])
def target(request: pytest.FixtureRequest, tiny_model: Path) -> list[str]:
    """Options that stream to the tiny model, in this process or through a server."""
    if request.param == "embedded":
        return ["--model", str(tiny_model)]
    return ["--model", "tiny", "--url", str(request.getfixturevalue("server_url"))]


def test_a_file_as_json(surnn: Run, target: list[str], recording: Path) -> None:
    result = surnn("stream", recording, "--json", "--fast", *target)
    assert result.exit_code == 0
    ready, *rest, summary = messages(result)
    assert ready["type"] == "ready"
    assert ready["model"]["name"] == "tiny"
    events = [m for m in rest if m["type"] == "event"]
    assert [(e["kind"], e["time"]) for e in events] == [("start", 0.0), ("end", 1.0)]
    chunks = [m for m in rest if m["type"] == "chunk"]
    assert sum(c["frames"] for c in chunks) == 100
    assert chunks[-1]["end_sample"] == 8000
    assert summary["type"] == "summary"
    assert (summary["samples"], summary["seconds"], summary["events"]) == (8000, 1.0, 2)
    assert summary["sparsity"]["possible"] == 100 * 12
    assert [m["seq"] for m in [ready, *rest, summary]] == list(range(len(rest) + 2))


def test_a_server_and_this_process_find_the_same(
    surnn: Run, tiny_model: Path, server_url: str, recording: Path
) -> None:
    here = surnn("stream", recording, "--json", "--fast", "--model", tiny_model)
    there = surnn("stream", recording, "--json", "--fast", "--model", "tiny", "--url", server_url)
    a, b = messages(here)[-1], messages(there)[-1]
    assert a["sparsity"]["updates"] == b["sparsity"]["updates"]
    assert {k: a[k] for k in ("seconds", "samples", "frames", "events")} == {
        k: b[k] for k in ("seconds", "samples", "frames", "events")
    }


def test_a_file_for_people(surnn: Run, target: list[str], recording: Path) -> None:
    result = surnn("stream", recording, "--speed", "50", *target)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "0.00 s  speech  start  score 0.95" in result.stdout
    assert "1.00 s  speech  end    peak  0.95" in result.stdout
    assert "layer 1,    4 neurons:" in result.stdout
    assert "of 1,200)" in result.stdout
    assert "2 events in 1.00 s" in result.stdout


def test_raw_samples_from_a_pipe(surnn: Run, target: list[str]) -> None:
    options = ("--rate", "8000", "--channels", "2", "--encoding", "pcm_s16le")
    result = surnn("stream", "-", "--json", "--fast", *options, *target, input=bytes(8000 * 4 + 3))
    said = messages(result)
    assert [m["code"] for m in said if m["type"] == "warning"] == ["split_sample"]
    summary = said[-1]
    assert (summary["samples"], summary["seconds"]) == (8000, 1.0)


def test_an_empty_pipe_has_a_summary_too(surnn: Run, target: list[str]) -> None:
    result = surnn("stream", "-", *target, input=b"")
    assert result.exit_code == 0
    assert "0 events in 0.00 s" in result.stdout


def test_playing_time_is_kept(surnn: Run, tiny_model: Path, recording: Path) -> None:
    import time

    began = time.monotonic()
    assert surnn("stream", recording, "--speed", "4", "--model", tiny_model).exit_code == 0
    assert time.monotonic() - began >= 0.25


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["nowhere.wav"], "nowhere.wav cannot be opened"),
        ([__file__], "test_cli_stream.py cannot be read as audio"),
        (["-", "--encoding", "mp3"], "encoding is 'mp3', expected one of"),
        (["-", "--rate", "1"], "sample rate is 1, expected 4000 to 384000 Hz"),
    ],
)
def test_what_cannot_be_streamed(surnn: Run, tiny_model: Path, args: list[str], error: str) -> None:
    result = surnn("stream", *args, "--model", tiny_model)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert error in result.stderr


def test_options_of_pipes_do_not_go_with_files(
    surnn: Run, tiny_model: Path, recording: Path
) -> None:
    result = surnn("stream", recording, "--encoding", "mulaw", "--model", tiny_model)
    assert (result.exit_code, "describe raw samples from a pipe" in result.stderr) == (2, True)
    result = surnn("stream", recording, "--rate", "16000", "--model", tiny_model)
    assert (result.exit_code, "but " in result.stderr) == (2, True)
    assert "has 8000 Hz" in result.stderr


def test_errors_of_a_server(surnn: Run, server_url: str, recording: Path) -> None:
    result = surnn("stream", recording, "--model", "nix", "--url", server_url)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: no model 'nix', expected one of ['tiny']\n",
    )
    result = surnn("stream", recording, "--url", "ws://127.0.0.1:9")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: cannot reach ws://127.0.0.1:9/v1/stream")


def test_sensor_tables_play_at_the_models_rate() -> None:
    from surnn_cli.sources import Source

    source = Source(iter([]), None, "f32le", 6)
    assert source.bytes_per_second(100, sensor=True) == 100 * 6 * 4


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
def test_control_c_ends_the_stream_with_its_summary(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "surnn_cli", "stream", "-", "--json", "--model"]
    with subprocess.Popen(
        [*command, str(tiny_model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "ready"
        process.stdin.write(np.zeros(3200, np.int16).tobytes())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["type"] == "chunk"
        process.send_signal(signal.SIGINT)
        *_, last = process.stdout.read().splitlines()
        assert json.loads(last)["type"] == "summary"
        process.stdin.close()
        assert process.wait(10) == 0


def test_a_reconnection_is_shown() -> None:
    from rich.console import Console

    from surnn_cli.view import StreamView
    from surnn_client import ModelInfo, Reconnected

    console = Console(record=True, width=200)
    with StreamView(console, ModelInfo("vad", "1", ("speech",), 16000, 160, (64,))) as view:
        view.show(Reconnected("ws://b:8000", "draining", 1, 16000))
    seen = console.export_text()
    assert "connection lost (draining), gone on without a gap: ws://b:8000" in seen
