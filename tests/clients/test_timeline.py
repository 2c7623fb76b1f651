import pytest

from surnn_cli.timeline import Track, bars
from surnn_client import Chunk, Cost, LabelProbs, Sparsity


def chunk(start: float, end: float, peak: float, open_rate: tuple[float, ...]) -> Chunk:
    return Chunk(
        seq=0,
        start=start,
        end=end,
        first_sample=0,
        end_sample=0,
        frames=1,
        probs={"speech": LabelProbs(mean=peak / 2, max=peak)},
        sparsity=Sparsity(open_rate, 0, 0, 0),
        cost=Cost(1.0, 1.0),
    )


def test_bars() -> None:
    assert bars([0.0, 0.5, 1.0, 2.0, -1.0]) == " ▄██ "
    assert bars([0.0, 0.25, 0.5], top=0.5) == " ▄█"
    assert bars([0.0, 0.5, 1.0], blocks=False) == " =@"


def test_columns_show_peaks_and_mean_open_rates() -> None:
    track = Track()
    track.add(chunk(0.0, 1.0, 0.2, (0.1, 0.3)))
    track.add(chunk(1.0, 2.0, 0.8, (0.2, 0.2)))
    track.add(chunk(2.0, 4.0, 0.4, (0.0, 0.4)))
    assert track.probs(0, 2) == [0.8, 0.4]
    assert track.probs(0, 8) == [0.2, 0.2, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4]
    assert track.open_rate(2) == pytest.approx([0.2, 0.2])


def test_memory_is_bounded_and_peaks_survive() -> None:
    track = Track(limit=64)
    for i in range(10_000):
        track.add(chunk(float(i), i + 1.0, 1.0 if i == 7_777 else 0.0, (0.25,)))
    assert track.seconds == pytest.approx(10_000)
    probs = track.probs(0, 10)
    assert probs[7] == 1.0
    assert probs.count(1.0) == 1
    assert track.open_rate(10) == pytest.approx([0.25] * 10)


def test_nothing_heard_has_no_columns() -> None:
    assert Track().probs(0, 10) == []
