"""Lossy codecs, through soundfile: what a messenger, a browser or an archive does to speech."""

from __future__ import annotations

import io

import soundfile

from surnn.types import Float32

__all__ = ["CODECS", "coded"]

CODECS = {
    "opus": ("OGG", "OPUS", 1.0),
    "vorbis": ("OGG", "VORBIS", 1.0),
    "mp3": ("MP3", "MPEG_LAYER_III", 0.9),
}
"""Format, subtype and compression level of soundfile: some 9, 40 and 27 kbit/s at 16 kHz."""


def coded(samples: Float32, codec: str, rate: int, strength: float = 1.0) -> Float32:
    """Samples [n] through one of `CODECS`, without its delay.

    strength: share of its compression level; 1 is about the lowest rate of its encoder.
    """
    container, subtype, level = CODECS[codec]
    file = io.BytesIO()
    soundfile.write(
        file,
        samples,
        rate,
        format=container,
        subtype=subtype,
        compression_level=level * strength,
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, len(samples), dtype="float32", fill_value=0.0)
    out: Float32 = decoded
    return out
