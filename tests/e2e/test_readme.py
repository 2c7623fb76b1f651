"""The README's programs run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def program(part: str) -> str:
    (found,) = [block for block in blocks("python") if part in block]
    return found


def test_the_streaming_program_hears_the_recording(
    live: object,
    recording: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("call.wav", recording, 16_000)
    code = program("surnn_client").replace("ws://localhost:8000", live.url)  # type: ignore[attr-defined]
    exec(compile(code, str(README), "exec"), {})
    printed = capsys.readouterr().out
    assert "speech start" in printed
    assert "open switches" in printed


def test_the_embedded_program_hears_the_recording(
    recording: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    code = program("microphone()").replace("48_000", "16_000")
    exec(compile(code, str(README), "exec"), {"microphone": lambda: np.array_split(recording, 50)})
    assert "speech start" in capsys.readouterr().out


def test_the_watcher_of_a_machine_sees_it_break(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 8))
    rows[800:] += 10.0
    code = program("Watcher")
    exec(compile(code, str(README), "exec"), {"telemetry": lambda: np.array_split(rows, 20)})
    assert "anomaly start" in capsys.readouterr().out


def test_the_program_of_uneven_time_stamps_follows_a_sensor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = README.parent / "docs" / "evaluation.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([0.005, 0.01, 0.015], 300))
    chunks = [(times[i : i + 7], rng.standard_normal((7, 6))) for i in range(0, 294, 7)]
    exec(compile(code, str(page), "exec"), {"sensor": lambda: chunks})
    last = capsys.readouterr().out.splitlines()[-1]
    assert float(last.split()[0]) == pytest.approx(times[293] - times[0], abs=0.05)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


def test_commands_exist() -> None:
    from typer.main import get_command

    from surnn_cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    text = "\n".join(blocks("console")) + README.read_text()
    named = set(re.findall(r"(?:^\$ |`)surnn ([a-z]+)", text, re.MULTILINE))
    assert named
    assert named <= known
