"""Recordings that come with surnn, so that it can be tried at once."""

from __future__ import annotations

from pathlib import Path

from surnn.errors import SurnnError

__all__ = ["DEMO_CREDIT", "demo_recording"]

DEMO_CREDIT = (
    "speech-to-intent-benchmark by Picovoice, three recordings joined, Apache-2.0 "
    "(details in surnn/assets/README.md)"
)
"""Where the demo recording comes from, and its licence."""


def demo_recording() -> Path:
    """A real recording of speech with pauses: 34 s, 16 kHz, mono.

    Raises `SurnnError` when the file is missing from the installation.
    """
    path = Path(__file__).parent / "demo.flac"
    if not path.is_file():
        raise SurnnError(f"{path} is missing, expected the recording that comes with surnn")
    return path
