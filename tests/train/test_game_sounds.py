"""Sound archives of games become a data set."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.errors import InvalidInput
from surnn.train.config import DataSet
from surnn.train.game_sounds import cat_sounds, wad_sounds, write
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
    assert [name for name, _, _ in sounds] == ["DSBGACT", "DSPLPAIN", "DSSGTSIT"]
    _, wave, rate = sounds[0]
    assert rate == 11_025
    np.testing.assert_allclose(wave, TONE * 100 / 128, atol=0.005)


def test_an_archive_holds_wave_files(cat: Path) -> None:
    ((name, wave, rate),) = cat_sounds(cat)
    assert (name, rate) == ("opensfx-00", 22_050)
    np.testing.assert_allclose(wave, TONE, atol=1e-3)


def test_nobody_speaks_in_the_set(wad: Path, cat: Path, tmp_path: Path) -> None:
    out = tmp_path / "noise_games"
    assert write(iter([*wad_sounds(wad), *wad_sounds(wad), *cat_sounds(cat)]), out) == 3
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


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.wad"
    path.write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(InvalidInput, match=r"x\.wad: begins with b'RIFF', expected a WAD"):
        list(wad_sounds(path))
    with pytest.raises(InvalidInput, match="expected a sound archive"):
        list(cat_sounds(path))
