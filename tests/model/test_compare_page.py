"""The page about `vad` says what was measured, and which aims were missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from surnn.compare_page import render, write_page
from surnn.errors import InvalidConfig


def measured(version: str, auc: float, false_alone: int = 4) -> dict[str, Any]:
    """One detector on an hour with speech and half an hour each of noise, music and silence."""

    def part(seconds: float, false: int) -> dict[str, Any]:
        events = {"truth": 40, "found": 37, "missed": 3, "false": false, "latency_ms_median": 95.0}
        return {
            "auc": auc,
            "accuracy": 0.96,
            "seconds": seconds,
            "open_rate": 0.05,
            "events": events,
        }

    return {
        "version": version,
        "all": part(9_000.0, 30 + false_alone),
        "by": {
            "set": {"speech_librispeech": part(600.0, 1)},
            "line": {"telephone": part(60.0, 0), "opus": part(60.0, 0)},
            "alone": {
                "noise": part(1_800.0, false_alone),
                "music": part(1_800.0, 0),
                "digital silence": part(1_800.0, 0),
            },
        },
    }


def results(auc: float = 0.99) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    detectors = {"vad": measured("5", auc), "silero-vad": measured("6", 0.97, 9)}
    test = {"data": {"recordings": 12}, "detectors": detectors}
    return test, {"detectors": {"vad": measured("4", 0.9)}}, {"detectors": detectors}


def test_every_detector_has_a_row_and_false_events_are_told_apart() -> None:
    page = render(*results())
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert [r[0] for r in rows[2:5]] == ["| vad 5 (shipped)", "| vad 4", "| silero-vad 6"]
    # 30 in the hour with speech; 4 and 9 in the hour of noise and music.
    assert [r[8:10] for r in rows[2:5]] == [["30", "4"], ["30", "4"], ["30", "9"]]
    assert "12 recordings, 150 minutes, 40 stretches" in page
    assert "| vad 5 | 0.990 | 0.960 | 37 of 40 | 34 | 95 |" in page


@pytest.mark.parametrize("auc", [0.99, 0.98])
def test_aims_are_told_by_the_figures(auc: float) -> None:
    reached, missed = (
        next(line for line in render(*results(auc)).splitlines() if line.startswith(f"**{title}"))
        for title in ("Reached", "Not reached")
    )
    assert ("AUC of at least 0.985" in reached) == (auc > 0.985)
    assert ("AUC of at least 0.985" in missed) == (auc < 0.985)
    assert "at most 2 false events an hour" in missed
    assert "0.1 in silence" in reached


def test_the_page_is_what_its_files_say(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"no file .*vad\.json, expected what `surnn eval"):
        write_page(tmp_path, tmp_path / "vad.md")
    names = ("vad", "vad-3", "vad-meetings")
    for name, found in zip(names, results(), strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    write_page(tmp_path, tmp_path / "vad.md")
    assert (tmp_path / "vad.md").read_text() == render(*results())
