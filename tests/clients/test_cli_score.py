import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture(params=["local", "server"])
def target(request: pytest.FixtureRequest, tiny_model: Path) -> list[str]:
    """Options that score with the tiny model, in this process or on a server."""
    if request.param == "local":
        return ["--model", str(tiny_model)]
    return ["--model", "tiny", "--url", str(request.getfixturevalue("server_url"))]


@pytest.fixture
def folder(tmp_path: Path, recording: Path) -> Path:
    """Two recordings of one name, and things that are none."""
    for place in ("a", "b/c"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(recording, tmp_path / place / "noise.wav")
    (tmp_path / "notes.txt").write_text("nothing to hear")
    (tmp_path / "segments.csv").write_text("file,start_s,end_s,label\n")
    return tmp_path


def test_one_file_as_json(surnn: Run, target: list[str], recording: Path) -> None:
    result = surnn("score", recording, *target)
    assert (result.exit_code, result.stderr) == (0, "")
    (score,) = json.loads(result.stdout)
    assert score["file"] == str(recording)
    assert (score["model"], score["seconds"]) == ("tiny", 1.0)
    (segment,) = score["segments"]
    assert (segment["label"], segment["start"], segment["end"]) == ("speech", 0.0, 1.0)
    assert score["sparsity"]["possible"] == 1200


def test_a_folder_is_searched(surnn: Run, target: list[str], folder: Path) -> None:
    result = surnn("score", folder, "--format", "ndjson", *target)
    assert result.exit_code == 0
    files = {json.loads(line)["file"] for line in result.stdout.splitlines()}
    assert files == {str(folder / "a/noise.wav"), str(folder / "b/c/noise.wav")}


def test_a_broken_file_disturbs_no_other(surnn: Run, target: list[str], folder: Path) -> None:
    broken = folder / "broken.wav"
    broken.write_text("not a recording")
    result = surnn("score", broken, folder / "a/noise.wav", "--format", "csv", *target)
    assert result.exit_code == 1
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert rows[str(folder / "a/noise.wav")]["label"] == "speech"
    assert "cannot be read as audio" in rows[str(broken)]["error"]
    first, last = result.stderr.splitlines()
    assert first.startswith(f"error: {broken}: cannot be read as audio")
    assert last == "error: 1 of 2 files failed"


def test_a_single_broken_file(surnn: Run, target: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_text("not a recording")
    result = surnn("score", broken, *target)
    assert result.exit_code == 1
    assert json.loads(result.stdout)[0]["error"]["code"] == "invalid_audio"


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("rttm", "SPEAKER noise 1 0.000 1.000 <NA> <NA> speech 0.9526 <NA>\n"),
        ("audacity", "0.000000\t1.000000\tspeech\n"),
        ("webvtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nspeech\n"),
    ],
)
def test_formats_written_to_a_file(
    surnn: Run, target: list[str], recording: Path, tmp_path: Path, format: str, expected: str
) -> None:
    out = tmp_path / "out.txt"
    result = surnn("score", recording, "--format", format, "--output", out, *target)
    assert (result.exit_code, result.stdout) == (0, "")
    assert out.read_text() == expected


def test_frames_are_written_where_asked_for(surnn: Run, tiny_model: Path, recording: Path) -> None:
    result = surnn("score", recording, "--frames", "--model", tiny_model)
    (score,) = json.loads(result.stdout)
    assert len(score["frames"]["probs"]["speech"]) == 100


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["nowhere"], "no file nowhere, expected a recording or a folder of them"),
        ([__file__, "--format", "xml"], "format is 'xml', expected one of"),
        ([__file__, __file__, "-f", "webvtt"], "2 files, expected one: webvtt has no place"),
    ],
)
def test_calls_that_are_wrong(surnn: Run, tiny_model: Path, args: list[str], error: str) -> None:
    result = surnn("score", *args, "--model", tiny_model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {error}")


def test_a_folder_without_recordings(surnn: Run, tiny_model: Path, tmp_path: Path) -> None:
    result = surnn("score", tmp_path, "--model", tiny_model)
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: {tmp_path} holds no audio, expected at least one file\n",
    )


def test_no_server_there(surnn: Run, recording: Path) -> None:
    result = surnn("score", recording, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: cannot reach http://127.0.0.1:9")
