from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.audiofile import AudioFile
from surnn.errors import InvalidAudio
from surnn.types import Float32

Wav = Callable[..., Path]
STEREO = (0.5 * np.random.default_rng(5).uniform(-1, 1, (30_000, 2))).astype(np.float32)
LOSSLESS = [
    ("a.wav", {"subtype": "PCM_16"}),
    ("a.wav", {"subtype": "PCM_24"}),
    ("a.wav", {"subtype": "FLOAT"}),
    ("a.wav", {"subtype": "ULAW"}),
    ("a.flac", {}),
    ("a.aiff", {"subtype": "PCM_16"}),
    ("a.au", {"subtype": "PCM_16"}),
    ("a.bin", {"format": "WAV"}),
]
LOSSY = [
    ("a.ogg", {"subtype": "VORBIS"}),
    ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
    ("a.mp3", {}),
]


def whole(path: Path, seconds: float = 10.0) -> Float32:
    with AudioFile(path) as audio:
        return np.concatenate(list(audio.blocks(seconds)))


@pytest.mark.parametrize(("name", "options"), [*LOSSLESS, *LOSSY])
def test_formats(wav: Wav, name: str, options: dict[str, str]) -> None:
    path = wav(name, STEREO, 48_000, **options)
    expected, _ = soundfile.read(path, dtype="float32")
    with AudioFile(path) as audio:
        assert (audio.name, audio.sample_rate, audio.channels) == (name, 48_000, 2)
        assert audio.frames == len(expected) == 30_000
        blocks = list(audio.blocks(0.1))
    assert [len(block) for block in blocks] == [4800] * 6 + [1200]
    assert all(block.dtype == np.float32 for block in blocks)
    if (name, options) in LOSSY:
        np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-3)
    else:
        np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_mono_has_a_channel_axis(wav: Wav) -> None:
    assert whole(wav("a.wav", STEREO[:, 0])).shape == (30_000, 1)


def test_blocks_may_be_read_again(wav: Wav) -> None:
    with AudioFile(wav("a.wav", STEREO)) as audio:
        next(audio.blocks(0.1))
        assert sum(len(block) for block in audio.blocks(0.1)) == 30_000


def test_open_files_stay_open(wav: Wav) -> None:
    data = io.BytesIO(wav("a.wav", STEREO).read_bytes())
    for source in (data, ("upload.wav", data)):
        with AudioFile(source) as audio:
            assert audio.frames == 30_000
        assert not data.closed
    with AudioFile(data, name="C/b.wav") as audio:
        assert audio.name == "b.wav"
    audio.close()


def test_a_path_is_closed(wav: Wav) -> None:
    with AudioFile(wav("a.wav", STEREO)) as audio:
        pass
    assert audio._file.closed


def refused(path: Path) -> str:
    """The message with which a file is refused; it must not tell where the file lies."""
    with pytest.raises(InvalidAudio) as caught:
        whole(path)
    message = str(caught.value)
    assert path.name in message
    assert str(path.parent) not in message
    return message


def test_no_such_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.wav") == (
        "a.wav cannot be opened (No such file or directory), expected a readable file"
    )
    assert refused(tmp_path).startswith(f"{tmp_path.name} cannot be opened (Is a directory)")


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"hello world, this is text\n", "the text 'hello world, thi'"),
        (b"file,a\n1,2\n3,4\n5,6\n", r"the text 'file,a\n1,2\n3,4\n5'"),
        (bytes(range(40)), "bytes 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"),
        ("schön".encode(), "bytes 73 63 68 c3 b6 6e"),
    ],
)
def test_what_is_not_audio(tmp_path: Path, content: bytes, seen: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert refused(path) == (
        f"a.wav cannot be read as audio (Format not recognised): it begins with {seen}, "
        "expected WAV, FLAC, Ogg, Opus, MP3, AIFF or AU"
    )


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    assert refused(path) == "a.wav is empty (0 bytes), expected a recording"


def test_no_samples(wav: Wav) -> None:
    assert refused(wav("a.wav", STEREO[:0])) == "a.wav holds no samples, expected at least one"


def test_raw_samples_are_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "a.RAW"
    path.write_bytes(bytes(1000))
    assert refused(path).startswith("a.RAW is raw samples without a header, expected WAV")


@pytest.mark.parametrize(
    ("name", "options"),
    [item for item in LOSSLESS if item[0] != "a.flac"],
)
def test_cut_off_where_the_header_knows(wav: Wav, name: str, options: dict[str, str]) -> None:
    path = wav(name, STEREO, **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert f"{name} is cut off: " in refused(path)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_cut_off_where_only_reading_tells(wav: Wav, name: str) -> None:
    path = wav(name, np.tile(STEREO, (4, 1)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    message = refused(path)
    assert "after" in message
    assert message.endswith("expected 7.500 s")


def test_damage_in_the_middle(wav: Wav) -> None:
    path = wav("a.flac", np.tile(STEREO, (4, 1)))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    with AudioFile(path) as audio, pytest.raises(InvalidAudio, match=r"a\.flac is damaged after"):
        for _ in audio.blocks(0.5):
            pass


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFC4])
def test_a_size_that_the_writer_did_not_know_is_no_promise(wav: Wav, size: int) -> None:
    path = wav("a.wav", STEREO)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert len(whole(path)) == 30_000


def test_a_pipe_is_refused() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(InvalidAudio, match=r"^a\.wav cannot seek, expected a file and not a pipe"):
        AudioFile(("a.wav", Pipe(b"x")))


def test_a_day_is_read_in_pieces(wav: Wav) -> None:
    # Not a day, but the whole must never be in one block.
    with AudioFile(wav("a.wav", np.zeros(400_000, np.float32), 4000)) as audio:
        assert {len(block) for block in audio.blocks()} == {40_000}


def _flac_of(total: int) -> io.BytesIO:
    """A second of noise whose header claims so many samples."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 16_000)
    soundfile.write(file, noise, 16_000, format="FLAC")
    data = bytearray(file.getvalue())
    field = int.from_bytes(data[18:26], "big")
    data[18:26] = (field >> 36 << 36 | total).to_bytes(8, "big")
    return io.BytesIO(bytes(data))


def test_a_header_that_claims_years_is_refused_before_anything_is_read() -> None:
    file = _flac_of(2**36 - 1)
    with pytest.raises(InvalidAudio, match=r"lie\.flac claims 68719476735 samples in 1 channels"):
        AudioFile(("lie.flac", file))


def test_a_header_that_claims_a_little_more_costs_no_more_than_what_is_there() -> None:
    with AudioFile(("lie.flac", _flac_of(5_000_000))) as audio:
        blocks = audio.blocks(seconds=1e9)
        with pytest.raises(InvalidAudio, match=r"lie\.flac (ends|is damaged) after"):
            assert sum(len(block) for block in blocks) <= 16_000


def test_a_header_without_a_length_claims_none() -> None:
    with AudioFile(("pipe.flac", _flac_of(0))) as audio:
        assert audio.frames == 0
        with pytest.raises(InvalidAudio, match=r"pipe\.flac .*, expected a whole file"):
            list(audio.blocks())
