"""Sound archives of games become a data set."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.errors import InvalidInput
from surnn.train.config_data import DataSet
from surnn.train.game_sounds import cat_sounds, media_sounds, wad_sounds, write, zip_sounds
from surnn.train.recordings import read_set

TONE = np.sin(2 * np.pi * 440 * np.arange(11_025) / 11_025)


@pytest.fixture
def wad(tmp_path: Path) -> Path:
    """Two creatures, a map marker and somebody's voice."""
    pcm = np.round(100 * TONE + 128).astype(np.uint8).tobytes()
    lump = struct.pack("<HHI", 3, 11_025, len(pcm) + 32) + bytes(16) + pcm + bytes(16)
    table = b""
    for i, name in enumerate((b"DSBGACT", b"E1M1", b"DSPLPAIN", b"DSSGTSIT")):
        size = 0 if name == b"E1M1" else len(lump)
        table += struct.pack("<ii8s", 12 + i * len(lump), size, name)
    path = tmp_path / "tiny.wad"
    path.write_bytes(b"IWAD" + struct.pack("<ii", 4, 12 + 4 * len(lump)) + 4 * lump + table)
    return path


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    wave = io.BytesIO()
    soundfile.write(wave, np.stack([TONE, TONE], axis=1), 22_050, format="WAV", subtype="PCM_16")
    entry = b"\x05ship\0" + wave.getvalue() + b"\x01\0"
    path = tmp_path / "opensfx.cat"
    path.write_bytes(struct.pack("<II", 8 | 0x80000000, len(wave.getvalue())) + entry)
    return path


def test_a_wad_holds_pcm_without_its_padding(wad: Path) -> None:
    sounds = list(wad_sounds(wad))
    assert [s.name for s in sounds] == ["DSBGACT", "DSPLPAIN", "DSSGTSIT"]
    assert sounds[0].rate == 11_025
    np.testing.assert_allclose(sounds[0].samples, TONE * 100 / 128, atol=0.005)


def test_an_archive_holds_wave_files(cat: Path) -> None:
    (sound,) = cat_sounds(cat)
    assert (sound.name, sound.rate) == ("opensfx-00", 22_050)
    np.testing.assert_allclose(sound.samples, TONE, atol=1e-3)


def test_nobody_speaks_in_the_set(wad: Path, cat: Path, tmp_path: Path) -> None:
    found = write([*wad_sounds(wad), *wad_sounds(wad), *cat_sounds(cat)], tmp_path)
    assert found == {"noise": 3}
    item = DataSet(
        folder="noise_games",
        kind="noise",
        role="train",
        licence="BSD-3-Clause",
        where={"game": ("freedoom",)},
    )
    clips = read_set(tmp_path, item, 16_000)
    assert [c.name for c in clips] == ["DSBGACT.flac", "DSSGTSIT.flac"]
    assert all(len(c.samples) == 16_000 for c in clips)
    assert np.abs(clips[0].samples).max() == pytest.approx(0.25 * 32768, rel=0.02)


def test_an_archive_of_many_kinds_is_told_apart(tmp_path: Path) -> None:
    wave = io.BytesIO()
    soundfile.write(wave, np.tile(TONE, 80), 11_025, format="OGG", subtype="VORBIS")
    with zipfile.ZipFile(tmp_path / "public.zip", "w") as archive:
        for name in (
            "audio/actor/fauna/animal/goat.ogg",
            "audio/actor/human/death/death_1.ogg",
            "audio/ambient/building/amb_trade_13.ogg",
            "audio/attack/impact/arrow.ogg",
            "audio/music/First_Sighting.ogg",
            "audio/voice/greek/civ/civ_male_yes.ogg",
            "art/animals.txt",
        ):
            archive.writestr(name, wave.getvalue())
    found = {s.name: s for s in zip_sounds(tmp_path / "public.zip")}
    assert {name: (s.kind, s.group) for name, s in found.items()} == {
        "actor-fauna-animal-goat": ("noise", "animal"),
        "attack-impact-arrow": ("noise", "weapon"),
        "music-First_Sighting": ("music", "orchestra"),
        "voice-greek-civ-civ_male_yes": ("speech", "greek"),
    }
    assert write(found.values(), tmp_path / "out") == {"noise": 2, "music": 1, "speech": 1}
    music, _ = soundfile.read(tmp_path / "out/music_games/music-First_Sighting.flac")
    assert len(music) == 60 * 16_000, "a minute of each piece"


def test_coughs_are_noises_and_laughs_are_not(tmp_path: Path) -> None:
    for name in ("Animal/Dog1.wav", "Human/Cough-male.wav", "Human/Laugh-male1.wav"):
        path = tmp_path / "Sounds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([TONE, TONE], axis=1), 22_050)
    (tmp_path / "Sounds" / "Animal" / "readme.txt").write_text("woof")
    sounds = list(media_sounds(tmp_path / "Sounds"))
    assert [(s.name, s.group) for s in sounds] == [
        ("scratch-Dog1", "animal"),
        ("scratch-Cough-male", "human"),
    ]


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.wad"
    path.write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(InvalidInput, match=r"x\.wad: begins with b'RIFF', expected a WAD"):
        list(wad_sounds(path))
    with pytest.raises(InvalidInput, match="expected a sound archive"):
        list(cat_sounds(path))
    with pytest.raises(InvalidInput, match=r"x\.wad: no zip archive, expected the public\.zip"):
        list(zip_sounds(path))
    with pytest.raises(InvalidInput, match="holds no folder Animal, expected Scratch's Media"):
        list(media_sounds(tmp_path))
