"""Recordings that come with surnn, so that it can be tried at once."""

from __future__ import annotations

from pathlib import Path

from surnn.errors import SurnnError

__all__ = ["demo_credit", "demo_recording"]

_SPEECH = (
    "speech-to-intent-benchmark by Picovoice, three recordings joined, Apache-2.0 "
    "(details in surnn/assets/README.md)"
)
_WORDS = (
    "Speech Commands v0.02 by Pete Warden, Google, thirteen clips joined, CC BY 4.0 "
    "(details in surnn/assets/README.md)"
)


def demo_recording(model: str = "vad") -> Path:
    """A real recording for a model: 34 s of speech with pauses, or 21 s of single words.

    Both at 16 kHz, mono. Raises `SurnnError` when the file is missing from the installation.
    """
    path = Path(__file__).parent / ("words.flac" if _is_for_words(model) else "demo.flac")
    if not path.is_file():
        raise SurnnError(f"{path} is missing, expected the recording that comes with surnn")
    return path


def demo_credit(model: str = "vad") -> str:
    """Where the recording for a model comes from, and its licence."""
    return _WORDS if _is_for_words(model) else _SPEECH


def _is_for_words(model: str) -> bool:
    return model.startswith("keywords")
