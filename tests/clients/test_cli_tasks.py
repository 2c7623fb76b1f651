"""`surnn tasks`: the list, a run of a second, the table, and wrong words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]
SMALL = (
    *("--hidden", "8", "--set", "length=16", "--set", "valid_sequences=8"),
    *("--set", "test_sequences=8", "--set", "budget.steps=3", "--set", "budget.batch=4"),
)


def test_the_list_names_every_task(surnn: Run) -> None:
    from surnn.tasks.registry import TASKS

    lines = surnn("tasks", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(TASKS)


def test_a_run_and_its_table(surnn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command in the record is what was typed, without where data and checkpoints lie."""
    record = tmp_path / "data" / "run.json"
    words = ["tasks", "run", "adding", *SMALL, "--data", str(tmp_path), "--out", str(record)]
    words += [f"--checkpoint={tmp_path / 'state.pt'}"]
    monkeypatch.setattr("sys.argv", ["surnn", *words])
    result = surnn(*words)
    assert result.exit_code == 0, result.output
    assert "adding: MSE " in result.stdout
    command = json.loads(record.read_text())["command"]
    assert "--data DIR" in command
    assert "checkpoint" not in command
    page = tmp_path / "results.md"
    result = surnn("tasks", "table", str(record.parent), "--page", str(page))
    assert result.exit_code == 0, result.output
    assert "| sugru 8 |" in page.read_text()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "sorting"], "no task 'sorting', expected one of adding,"),
        (["run", "adding", "--cell", "ntm"], "cell is 'ntm', expected one of surnn, sugru,"),
        (["run", "adding", "--switch", "on"], "switch mode is 'on', expected one of clock,"),
        (["run", "adding", "--settings", "slow"], "settings is 'slow', expected one of fast,"),
        (["run", "adding", "--set", "length"], "--set 'length', expected name=value"),
        (["run", "adding", "--set", "lenght=3"], "no setting 'lenght', expected one of"),
        (["run", "adding", "--set", "length=long"], "length: Input should be a valid integer"),
        (["run", "sequential-mnist"], "needs a data folder with MNIST's IDX files: give --data"),
        (["table", "nowhere"], "nowhere holds no records, expected JSON files of"),
    ],
)
def test_wrong_words_get_one_clear_line(
    surnn: Run, words: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SURNN_TASK_DATA", raising=False)
    result = surnn("tasks", *words)
    assert result.exit_code != 0
    assert complaint in " ".join(result.output.split())
    assert "Traceback" not in result.output
