"""What torch and Triton raise when a device runs out of memory or is lost, as surnn's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from surnn.errors import DeviceLost, DeviceMemory

__all__ = ["device_errors"]

_MEMORY = ("out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
_DEVICE = ("CUDA error", "CUDNN_STATUS_", "CUBLAS_STATUS_", "Triton Error [CUDA]", "CUDA driver")


@contextmanager
def device_errors() -> Iterator[None]:
    """Raises `DeviceMemory` or `DeviceLost` in place of what torch raised; the rest passes.

    An error of CUDA stays: every later call in the process fails as well.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceMemory(f"device has too little memory: {_first_line(error)}") from error
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, torch.AcceleratorError) and not any(m in text for m in _DEVICE):
            raise
        if any(mark in text for mark in _MEMORY):
            raise DeviceMemory(f"device has too little memory: {_first_line(error)}") from error
        raise DeviceLost(f"device was lost: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
