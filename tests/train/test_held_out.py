"""Held-out recordings on disk: the right sets, told apart, always the same."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import soundfile

from surnn.dataset.audio import read_audio
from surnn.errors import InvalidConfig
from surnn.train.config import read_config
from surnn.train.config_data import AudioConfig
from surnn.train.held_out import recordings, write


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory, voice_text: str) -> AudioConfig:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(voice_text)
    found = read_config(path).audio
    assert found is not None
    return found


def test_a_folder_holds_every_kind_of_recording(
    audio: AudioConfig, world: Path, tmp_path: Path
) -> None:
    count = write(recordings(audio, world, "valid", streams=1), tmp_path)
    found = read_audio(tmp_path)
    assert len(found) == count
    names: dict[str, set[str]] = {}
    for one in found:
        for column, value in one.fields.items():
            if value:
                names.setdefault(column, set()).add(value)
        assert bool(one.segments) == ("alone" not in names or not one.fields["alone"]), one.name
    assert names["set"] == {"voices"}
    assert names["snr_db"] == {"clean", "0", "5", "10", "20"}
    assert names["level_dbfs"] == {"0", "-10", "-20", "-30", "-40", "-50"}
    assert names["dc"] == {"0.01", "0.05", "0.2"}
    assert {"noise", "digital silence"} <= names["alone"]
    assert names["line"] == {"telephone", "opus", "vorbis", "mp3"}


def test_levels_are_those_of_the_same_mixture(
    audio: AudioConfig, world: Path, tmp_path: Path
) -> None:
    write(recordings(audio, world, "valid", streams=1), tmp_path)
    loud, quiet, moved = (
        soundfile.read(tmp_path / f"{name}-0.flac", dtype="float32")[0]
        for name in ("level-10", "level-50", "dc0.2")
    )
    assert abs(loud).max() == pytest.approx(10**-0.5, rel=1e-3)
    assert abs(quiet - loud / 100).max() < 2 / 32768
    assert moved.mean() == pytest.approx(0.2, abs=1e-3)


def test_they_are_always_the_same_and_other_for_each_role(audio: AudioConfig, world: Path) -> None:
    both = AudioConfig(
        sets=(
            *audio.sets,
            *(s.model_copy(update={"role": "test"}) for s in audio.sets if s.role == "valid"),
        )
    )
    first = [r.samples.sum() for r in recordings(both, world, "valid", streams=1)]
    assert first == [r.samples.sum() for r in recordings(both, world, "valid", streams=1)]
    other = [r.samples.sum() for r in recordings(both, world, "test", streams=1)]
    assert len(other) == len(first)
    assert other[:6] != first[:6]


def test_a_role_without_sets_is_refused(audio: AudioConfig, world: Path) -> None:
    with pytest.raises(InvalidConfig, match="for role 'test'"):
        recordings(audio, world, "test")


def test_languages_are_parts_of_their_own(audio: AudioConfig, world: Path, tmp_path: Path) -> None:
    with (world / "voices" / "clips.csv").open() as file:
        columns = set(next(csv.reader(file)))
    assert "split" in columns
    found = list(recordings(audio, world, "valid", streams=1))
    assert {r.about["language"] for r in found if "language" in r.about} == {"en"}
