"""ONNX Runtime, imported by everyone from here: it is told first to report nothing to anybody.

Since 1.31 it collects telemetry on Linux as well and leaves a file in the folder for temporary
files, as soon as it is imported. Who wants that sets `ORT_DISABLE_TELEMETRY=0`.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
