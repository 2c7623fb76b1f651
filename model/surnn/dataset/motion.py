"""Phone and watch recordings: accelerometer and gyroscope with an activity for every row.

A folder holds `train.npz` and `valid.npz` (other subjects), and `*_index.csv` with the rows of each
execution. Arrays by device: `x_*` int16 [rows, 6] times `acc_scale` (m/s^2) or `gyro_scale`
(rad/s), `t_ms_*` int32 since the execution's start, `y_*` uint8 index into `labels`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.dataset.sensor import even_grid
from surnn.errors import InvalidInput
from surnn.segments import read_rows
from surnn.types import Float32

__all__ = ["Execution", "is_motion_folder", "labelled_grid", "read_executions", "tilted"]

_DEVICES = {"sp": "phone", "sw": "watch"}
_COLUMNS = ("device", "start_row", "end_row", "subject", "execution")


@dataclass(frozen=True, slots=True)
class Execution:
    """One person doing the whole sequence once, with one device."""

    name: str
    subject: str
    device: str
    by_time: tuple[Float32, NDArray[np.uint8]]
    """Samples [T, 6] and labels [T] on an even grid of the time stamps."""
    by_row: tuple[Float32, NDArray[np.uint8]]
    """The same with rows taken as evenly spaced: what a client without time stamps sends."""


def is_motion_folder(folder: Path) -> bool:
    """Does a folder hold executions?"""
    return (folder / "valid.npz").is_file() and (folder / "valid_index.csv").is_file()


def read_executions(folder: Path, part: str, rate: int, labels: tuple[str, ...]) -> list[Execution]:
    """The executions of `part` ("train" or "valid") at `rate` samples per second.

    Raises `InvalidInput` naming the file (and line) that is missing or does not fit.
    """
    path, table = folder / f"{part}.npz", folder / f"{part}_index.csv"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored}
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file, expected recordings") from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: not readable as .npz: {error}") from None
    seen = tuple(str(name) for name in arrays.get("labels", ()))
    if seen != labels:
        raise InvalidInput(f"{path}: labels are {list(seen)}, expected {list(labels)}")
    scale = np.repeat([float(arrays["acc_scale"]), float(arrays["gyro_scale"])], 3)
    found = []
    for line, row in read_rows(table, _COLUMNS):
        device = _DEVICES.get(row["device"])
        if device is None:
            raise InvalidInput(
                f"{table}:{line}: device is {row['device']!r}, expected one of {list(_DEVICES)}"
            )
        x, t, y = (arrays[f"{name}_{device}"] for name in ("x", "t_ms", "y"))
        try:
            first, last = int(row["start_row"]), int(row["end_row"])
        except ValueError:
            first, last = 0, 0
        if not 0 <= first < last - 1 < len(x):
            raise InvalidInput(
                f"{table}:{line}: rows {row['start_row']} to {row['end_row']}, "
                f"but there are {len(x)}"
            )
        samples = (x[first:last] * scale).astype(np.float32)
        stamps, activity = t[first:last] / 1000.0, y[first:last]
        spread = np.linspace(stamps[0], stamps[-1], len(stamps))
        found.append(
            Execution(
                name=row["execution"],
                subject=row["subject"],
                device=device,
                by_time=labelled_grid(samples, activity, stamps, rate),
                by_row=labelled_grid(samples, activity, spread, rate),
            )
        )
    if not found:
        raise InvalidInput(f"{table} holds no executions, expected some")
    return found


def labelled_grid(
    samples: Float32, labels: NDArray[np.uint8], seconds: NDArray[np.float64], rate: float
) -> tuple[Float32, NDArray[np.uint8]]:
    """Rows [n, channels] at uneven times [n] on an even grid (see `even_grid`).

    Labels come from the nearest row.
    """
    grid = np.arange(seconds.min(), seconds.max() + 0.5 / rate, 1.0 / rate)
    order = np.argsort(seconds, kind="stable")
    between = (seconds[order][1:] + seconds[order][:-1]) / 2.0
    return even_grid(samples, seconds, rate), labels[order[np.searchsorted(between, grid)]]


def tilted(rng: np.random.Generator, samples: Float32, largest: float) -> Float32:
    """Both triples of axes turned by one random rotation of up to `largest` radians."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = rng.uniform(0.0, largest)
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # Rodrigues' formula.
    turn = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    both = (samples.reshape(len(samples), -1, 3) @ turn.T).reshape(samples.shape)
    result: Float32 = both.astype(np.float32)
    return result
