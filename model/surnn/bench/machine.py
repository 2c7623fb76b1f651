"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["describe"]

_PACKAGES = ("surnn", "numpy", "numba", "onnxruntime", "torch", "triton", "silero-vad", "uvicorn")
_VECTORS = ("avx512f", "avx2", "sse4_2", "asimd", "sve")


def describe() -> dict[str, object]:
    """Processor, memory, load and versions, as JSON-ready values."""
    information = _read(Path("/proc/cpuinfo"))
    flags = information.get("flags", information.get("features", "")).split()
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": information.get("model name", platform.processor() or platform.machine()),
        "cpu_model": " ".join(
            information.get(key, "?") for key in ("vendor_id", "cpu family", "model", "stepping")
        ),
        "cores": os.cpu_count(),
        "vectors": [name for name in _VECTORS if name in flags],
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def _read(path: Path) -> dict[str, str]:
    """`key: value` lines, the first of each key."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return {key.strip().lower(): value.strip() for key, value in reversed(pairs)}
