"""Curves of a training run for TensorBoard, where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from surnn.errors import MissingDependency

__all__ = ["Scalars"]


class Scalars:
    """Writes numbers by step into event files of a folder. Raises `MissingDependency`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingDependency(
                "TensorBoard's files need TensorBoard: pip install 'surnn[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def step(self, step: int, loss: float, open_rate: float, learning_rate: float) -> None:
        """One update of the weights."""
        for name, value in (
            ("train/loss", loss),
            ("train/open_rate", open_rate),
            ("train/learning_rate", learning_rate),
        ):
            self._writer.add_scalar(name, value, step)

    def validation(self, step: int, score: float, figures: Mapping[str, object]) -> None:
        """One validation: its score, and its main figures."""
        self._writer.add_scalar("valid/score", score, step)
        main = figures.get("main")
        if isinstance(main, Mapping):
            for name, value in main.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(f"valid/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
