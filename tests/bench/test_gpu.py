"""The GPU bench without a GPU: it refuses to measure, and its dry run gives no figures."""

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner

from surnn_cli import app

pytest.importorskip("triton", reason="Triton is not installed: it has wheels for Linux only")


def run(*arguments: str):
    return CliRunner().invoke(app, ["bench", "gpu", *arguments])


@pytest.fixture
def no_gpu():
    if "TRITON_INTERPRET" not in os.environ:
        pytest.skip("there is a GPU")


def test_refuses_without_a_gpu(no_gpu):
    result = run("--json")
    assert result.exit_code != 0
    assert "no CUDA device" in result.output
    assert "--dry-run" in result.output


def test_a_dry_run_checks_everything_and_measures_nothing(no_gpu, tmp_path):
    path = tmp_path / "gpu.json"
    result = run("--dry-run", "--json", "--output", str(path))
    assert result.exit_code == 0, result.output
    report = json.loads(path.read_text())
    assert report["dry_run"] is True
    names = {row["runtime"] for row in report["rows"]}
    assert {"tiled ieee", "resident ieee", "resident float16", "tiled in step", "cudnn"} <= names
    checked = [row for row in report["rows"] if "max_error" in row]
    assert len(checked) >= 4
    for row in checked:
        assert row["max_error"] < 1e-5
        assert row["state_bytes_written"] == row["state_bytes_open"]
        assert 0 < row["state_bytes_open"] < row["state_bytes_dense"]
    text = path.read_text()
    for figure in ("us_per", '_ms"', "ratio", "gbytes", "tflops", "sustained"):
        assert figure not in text.replace('"hop_ms"', "")


def test_a_dry_run_prints_no_times(no_gpu):
    result = run("--dry-run")
    assert result.exit_code == 0, result.output
    assert "dry run" in result.output
    assert "µs" not in result.output
