"""Audio files as blocks of samples, in constant memory: WAV, FLAC, Ogg, Opus, MP3, AIFF, AU."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO

import soundfile

from surnn.errors import InvalidAudio
from surnn.sources import Source, open_source
from surnn.types import Float32

__all__ = ["AudioFile"]

_EXPECTED = "expected WAV, FLAC, Ogg, Opus, MP3, AIFF or AU"
# libsndfile's log, where a header promises more than the file holds.
_SHORT_DATA = re.compile(r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
# Writers that cannot seek back leave a size like 0x7FFFFFFF or 0xFFFFFFFF: no promise at all.
_UNKNOWN_SIZE = 0x7FFF_0000
_MOST_PER_BYTE = 4096
"""Samples, over all channels, that one byte of a file may stand for. Digital silence in FLAC
comes to about 600."""
_FREE_SAMPLES = 1 << 20
"""However few bytes there are: too little work to matter."""
_MOST_PER_BLOCK = 1 << 24
"""Samples, over all channels, that are read at once whatever the header claims."""
_UNKNOWN_LENGTH = 1 << 62
"""From here on the number of samples means that the writer did not know it."""
_PADDING = 8
"""Bytes of samples that may be missing: alignment that some writers leave out."""


class AudioFile:
    """An open audio file.

        with AudioFile("call.flac") as audio:
            for block in audio.blocks():
                ...

    Args:
        source: a path, an open binary file that can seek, or a pair of a name and such a file.
            A file that was passed open stays open.
        name: what messages call the file; its own name when None.

    Raises `InvalidAudio`, naming the file without its folder.
    """

    def __init__(self, source: Source | BinaryIO, name: str | None = None) -> None:
        if not isinstance(source, str | os.PathLike | tuple):
            source = (name or "audio", source)
        self._file, self.name, self._ours = open_source(source, name)
        try:
            self._sound = self._open()
        except BaseException:
            if self._ours:
                self._file.close()
            raise

    def _open(self) -> soundfile.SoundFile:
        # soundfile goes by a file's own name here, and would ask for the layout of the samples.
        if f"{getattr(self._file, 'name', '')}".lower().endswith(".raw"):
            raise InvalidAudio(f"{self.name} is raw samples without a header, {_EXPECTED}")
        try:
            sound = soundfile.SoundFile(_Bytes(self._file))
        except soundfile.LibsndfileError as error:
            raise InvalidAudio(
                f"{self.name} cannot be read as audio ({_reason(error)}): "
                f"it begins with {self._beginning()}, {_EXPECTED}"
            ) from None
        try:
            if not sound.frames:
                raise InvalidAudio(f"{self.name} holds no samples, expected at least one")
            self._check_claim(sound)
            promised = _SHORT_DATA.search(sound.extra_info)
            if promised is not None:
                expected, seen = int(promised[1]), int(promised[2])
                if seen + _PADDING < expected < _UNKNOWN_SIZE:
                    raise InvalidAudio(
                        f"{self.name} is cut off: {seen} bytes of samples, expected {expected}"
                    )
        except BaseException:
            sound.close()
            raise
        return sound

    def _check_claim(self, sound: soundfile.SoundFile) -> None:
        """Refuse a header that promises more than its bytes can hold."""
        place = self._file.tell()
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(place)
        claimed = sound.frames * sound.channels
        if sound.frames < _UNKNOWN_LENGTH and claimed > _FREE_SAMPLES + size * _MOST_PER_BYTE:
            raise InvalidAudio(
                f"{self.name} claims {sound.frames} samples in {sound.channels} channels, but has "
                f"{size} bytes, expected at most {_MOST_PER_BYTE} samples for each"
            )

    def _beginning(self) -> str:
        self._file.seek(0)
        head = self._file.read(16)
        printable = head.isascii() and head.translate(None, b"\r\n\t").decode("ascii").isprintable()
        return f"the text {head.decode('ascii')!r}" if printable else f"bytes {head.hex(' ')}"

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return int(self._sound.samplerate)

    @property
    def channels(self) -> int:
        """Interleaved channels."""
        return int(self._sound.channels)

    @property
    def frames(self) -> int:
        """Samples of each channel; 0 where the writer did not know it, as in a recorded pipe."""
        frames = int(self._sound.frames)
        return frames if frames < _UNKNOWN_LENGTH else 0

    def blocks(self, seconds: float = 10.0) -> Iterator[Float32]:
        """The samples from the first to the last, in blocks [n, channels] at full scale 1.0.

        Raises `InvalidAudio` where the file turns out to be damaged or cut off.
        """
        size = round(seconds * self.sample_rate)
        size = max(1, min(size, _MOST_PER_BLOCK // self.channels))
        done = 0
        length = int(self._sound.frames)
        while done < length:
            try:
                if not done:
                    self._sound.seek(0)
                block: Float32 = self._sound.read(
                    min(size, length - done), dtype="float32", always_2d=True
                )
            except soundfile.LibsndfileError as error:
                raise InvalidAudio(
                    f"{self.name} is damaged after {done / self.sample_rate:.3f} s "
                    f"({_reason(error)}), expected {self._length()}"
                ) from None
            if not len(block):
                raise InvalidAudio(
                    f"{self.name} ends after {done / self.sample_rate:.3f} s, "
                    f"expected {self._length()}"
                )
            done += len(block)
            yield block

    def _length(self) -> str:
        return f"{self.frames / self.sample_rate:.3f} s" if self.frames else "a whole file"

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._sound.close()
        if self._ours:
            self._file.close()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Bytes:
    """A file as libsndfile wants it.

    Damaged headers make it seek to places that do not exist. A Python file raises then, which
    nobody could catch: libsndfile's calls come from C.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(max(0, size))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with contextlib.suppress(ValueError, OSError, OverflowError):
            return self._file.seek(offset, whence)
        return self._file.tell()  # where it was: libsndfile sees that it is not where it wanted

    def tell(self) -> int:
        return self._file.tell()


def _reason(error: soundfile.LibsndfileError) -> str:
    # The error's own text would name the file with its folder.
    text = str(error.error_string).removeprefix("Error : ").strip()
    return text.rstrip(".")
