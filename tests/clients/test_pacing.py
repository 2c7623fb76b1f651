import asyncio

import pytest

from surnn_client import InvalidArgument, paced, paced_async, pieces


class Time:
    """A clock that moves only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


def test_pieces() -> None:
    assert list(pieces(b"abcde", 2)) == [b"ab", b"cd", b"e"]
    assert list(pieces(b"", 2)) == []
    with pytest.raises(InvalidArgument, match="piece size is 0"):
        list(pieces(b"a", 0))


def test_each_chunk_is_due_at_its_end() -> None:
    time = Time()
    given = [
        (chunk, time.now - 100)
        for chunk in paced(
            [b"ab", b"cdef"], 4.0, speed=2.0, clock=lambda: time.now, sleep=time.sleep
        )
    ]
    assert given == [(b"ab", 0.25), (b"cdef", 0.75)]


def test_delays_do_not_add_up() -> None:
    time = Time()
    for _ in paced([b"a"] * 10, 1.0, clock=lambda: time.now, sleep=time.sleep):
        time.now += 0.25  # the consumer's own work
    assert time.now == pytest.approx(110.25)


def test_missed_chunks_come_at_once() -> None:
    time = Time()
    chunks = paced([b"a"] * 4, 1.0, clock=lambda: time.now, sleep=time.sleep)
    next(chunks)
    time.now += 2.5
    next(chunks)
    next(chunks)
    assert time.slept == [1.0]
    next(chunks)
    assert time.slept == [1.0, 0.5]


def test_asyncio_keeps_the_same_schedule() -> None:
    time = Time()

    async def main() -> list[float]:
        return [
            time.now - 100
            async for _ in paced_async(
                [b"ab", b"cd"], 4.0, clock=lambda: time.now, sleep=time.sleep_async
            )
        ]

    assert asyncio.run(main()) == [0.5, 1.0]


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(InvalidArgument, match="expected more than 0"):
        list(paced([b"a"], 1.0, speed=speed))
