"""The figure of recall: drawn for any number of runs, the same for the same records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from surnn.tasks.plots import plot_recall
from surnn.tasks.records import Recall, Record


@pytest.mark.parametrize("count", [1, 5])
def test_a_figure_is_drawn(
    tmp_path: Path,
    record: Callable[..., Record],
    curve: Callable[..., tuple[Recall, ...]],
    count: int,
) -> None:
    runs = [record(recall=curve(1.0, 0.8, 0.5 + 0.02 * i)) for i in range(count)]
    plot_recall(runs, tmp_path / "a.png")
    picture = matplotlib.image.imread(tmp_path / "a.png")
    assert picture.shape[1] > 1000
    assert np.ptp(picture[..., :3]) > 0.9, "ink on paper"


def test_other_records_give_another_figure(
    tmp_path: Path,
    record: Callable[..., Record],
    curve: Callable[..., tuple[Recall, ...]],
) -> None:
    for name, end in (("a", 0.5), ("b", 0.9), ("c", 0.9)):
        plot_recall([record(recall=curve(1.0, end))], tmp_path / f"{name}.png")
    a, b, c = (matplotlib.image.imread(tmp_path / f"{name}.png") for name in "abc")
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(b, c)
