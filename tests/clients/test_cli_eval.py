"""`surnn eval` of the shipped models that do more than tell speech, on tiny folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import Result

from surnn.assets import demo_recording
from surnn.project import write_example

Run = Callable[..., Result]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three words and a word that is none, each in the folder of its name."""
    samples, rate = soundfile.read(demo_recording("keywords"))
    for name, first in (("yes", 0), ("seven", 1), ("left", 2), ("house", 3)):
        (tmp_path / name).mkdir()
        piece = samples[round(first * len(samples) / 13) :][: round(len(samples) / 13)]
        soundfile.write(tmp_path / name / "1.wav", piece, rate)
    return tmp_path


def test_keywords_in_one_folder_for_each(surnn: Run, clips: Path) -> None:
    figures = json.loads(surnn("eval", "keywords", clips, "--json").stdout)
    words = figures["words"]
    assert (words["words"], words["recordings_without"]) == (3, 1)
    assert words["right"] + words["wrong"] + words["missed"] == 3
    text = surnn("eval", "keywords", clips).stdout
    assert "named right" in text
    assert "false events an hour" in text


def test_keywords_in_long_recordings(surnn: Run, tmp_path: Path) -> None:
    (tmp_path / "words.flac").write_bytes(demo_recording("keywords").read_bytes())
    (tmp_path / "segments.csv").write_text(
        "file,start_s,end_s,label,room\nwords.flac,0.5,1.5,yes,lab\nwords.flac,2.0,3.0,seven,lab\n"
    )
    figures = json.loads(surnn("eval", "keywords", tmp_path, "--json").stdout)
    assert figures["words"]["by"]["room"]["lab"]["words"] == 2
    assert "lab" in surnn("eval", "keywords", tmp_path).stdout
    (tmp_path / "segments.csv").write_text("file,start_s,end_s,label\nwords.flac,0.5,99,yes\n")
    result = surnn("eval", "keywords", tmp_path)
    assert result.exit_code == 2
    assert "segments.csv:2: end_s is 99, but words.flac ends at" in result.stderr


def test_activity_in_tables_with_times(surnn: Run, tmp_path: Path) -> None:
    write_example(tmp_path, sensor=True, seconds=4.0)
    for path in tmp_path.glob("*.csv"):
        text = path.read_text().replace("rest", "SEATED").replace("jump", "WALKING")
        head, *rows = text.replace("walk", "WALKING").splitlines()
        six = []
        for row in rows:  # twice as fast: the model hears 100 rows a second
            time, x, y, z, *rest = row.split(",")
            six.append(",".join([f"{float(time) / 2:.4f}", x, y, z, "0.1", "0.2", "0.3", *rest]))
        path.write_text("\n".join([head.replace("z,", "z,a,b,c,"), *six]) + "\n")
    figures = json.loads(surnn("eval", "activity", tmp_path, "--json").stdout)
    assert 0.0 <= figures["accuracy"] <= 1.0
    assert len(figures["confusion"]) == 5
    assert "WALKING" in surnn("eval", "activity", tmp_path).stdout


def test_machine_beside_baselines(surnn: Run, tmp_path: Path) -> None:
    values = np.sin(np.arange(500) / 5.0)
    values[450:480] += 6.0
    rows = [f"{i},{v:.4f},{int(450 <= i < 480)}" for i, v in enumerate(values)]
    (tmp_path / "pump.csv").write_text("row,value,anomaly\n" + "\n".join(rows) + "\n")
    figures = json.loads(surnn("eval", "machine", tmp_path, "--json").stdout)
    assert figures["rows"] == 500
    text = surnn("eval", "machine", tmp_path, "--tune", tmp_path).stdout
    assert "F1 of rows" in text
    assert "T-squared" in text
    for wrong in (("--peers",), ("--part", "test")):
        result = surnn("eval", "machine", tmp_path, *wrong)
        assert result.exit_code == 2
        assert "--peers and --part are of other models" in result.stderr
    assert surnn("eval", "activity", tmp_path, "--files", "*").exit_code == 2
