"""The page of results: every figure from a record, in its table, with its command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from surnn.errors import InvalidConfig
from surnn.tasks.records import Layer, Recall, Record, Score, write_record
from surnn.tasks.registry import TASKS
from surnn.tasks.table import render, write_table

Make = Callable[..., Record]
Curve = Callable[..., tuple[Recall, ...]]


def cells(page: str, name: str) -> list[str]:
    """The row of the first table that names these cells."""
    row = next(line for line in page.splitlines() if line.startswith("|") and name in line)
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_row_has_the_figures_of_its_record(record: Make) -> None:
    page = render([record()])
    assert cells(page, "sugru 64") == [
        "1",
        "sugru 64",
        "input",
        "0.9877",
        "yes",
        "0.050",
        "3 / 1",
        "12,345",
        "1,500",
        "61 (60)",
        "1",
    ]
    assert "1. `surnn tasks run recall`" in page
    assert "A Processor" in page
    assert "accuracy, aim at least 0.97, chance 0.5" in page


def test_a_missed_aim_is_said(record: Make) -> None:
    score = Score(
        metric="MSE",
        higher_is_better=False,
        test=0.2,
        valid=0.2,
        aim=0.01,
        reached=False,
        chance=None,
    )
    page = render([record(score=score)])
    assert cells(page, "sugru 64")[4] == "**no**"
    assert "MSE, aim below 0.01." in page


def test_the_best_comes_first_and_commands_are_numbered_alike(record: Make) -> None:
    def scored(name: str, test: float) -> Record:
        layer = Layer(cell=name, hidden=8, switch="none", open_rate=1.0)
        score = record().score.model_copy(update={"test": test})
        return record(layers=(layer,), score=score, command=f"run {name}", notes=(f"of {name}",))

    page = render([scored("gru", 0.6), scored("lru", 0.9)])
    assert cells(page, "lru 8")[0] == "1"
    assert cells(page, "gru 8")[0] == "2"
    assert page.index("1. `run lru`") < page.index("2. `run gru`")
    assert "- Line 2: of gru" in page
    assert cells(page, "gru 8")[6] == "-", "no switches to be dead"


def test_tasks_without_a_run_are_named(record: Make) -> None:
    page = render([record(task="adding"), record(task="listops", group="ablation")])
    (line,) = [line for line in page.splitlines() if line.startswith("**No run")]
    assert "listops" in line
    assert "adding" not in line
    assert "No run" not in render([record(task=name) for name in TASKS])


def test_groups_and_tasks_have_their_sections(record: Make) -> None:
    runs = [
        record(group="memory"),
        record(group="main", task="adding", length=10),
        record(group="main", task="adding", length=1000),
        record(group="odd one"),
    ]
    heads = [line for line in render(runs).splitlines() if line.startswith("#")]
    assert heads == [
        "# Results",
        "## Tasks",
        "### adding, T = 10",
        "### adding, T = 1000",
        "## Memory: recall against the length of silence",
        "### recall, T = 200",
        "## odd one",
        "### recall, T = 200",
    ]


def test_layers_of_a_stack_stand_in_one_row(record: Make) -> None:
    layers = (
        Layer(cell="bmru", hidden=4, switch="none", open_rate=0.2),
        Layer(cell="sugru", hidden=8, switch="clock frozen", open_rate=0.2, dead=0, always_open=2),
    )
    row = cells(render([record(layers=layers)]), "bmru 4")
    assert row[1:3] == ["bmru 4 + sugru 8", "none + clock frozen"]
    assert row[6] == "- + 0 / 2"


def test_recall_has_a_table_and_a_figure(tmp_path: Path, record: Make, curve: Curve) -> None:
    write_record(tmp_path / "data" / "a.json", record(recall=curve(1.0, 0.75)))
    write_table(tmp_path / "data", tmp_path / "docs" / "results.md")
    page = (tmp_path / "docs" / "results.md").read_text()
    assert "| sugru | 1.000 (100%) | 0.750 (50%) |" in " ".join(page.split())
    assert "](results-recall.png)" in page
    assert (tmp_path / "docs" / "results-recall.png").read_bytes()[:4] == b"\x89PNG"


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"holds no records, expected JSON files of `surnn"):
        write_table(tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()
