"""Computing many sessions at once, so that none can hurt another.

Sessions of one call are padded to the longest, so they are grouped by how much they bring. A
call that fails is taken back and repeated session by session: only the culprit gets the error.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeGuard, TypeVar

from surnn import ChunkResult
from surnn.answers import Answer, answer_all, answer_one
from surnn.engine import Engine, Session
from surnn.errors import DeviceLost
from surnn.ingest import take_frames
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.joined import JoinedBlocks
from surnn.state import Slot
from surnn.types import Float32

__all__ = ["compute", "group_by_frames"]

T = TypeVar("T")


def group_by_frames(items: Sequence[tuple[T, int]]) -> list[list[T]]:
    """Items with frame counts, in groups whose counts differ by less than twice.

    At most half of a group's computing is spent on padding. Short groups come first, because
    real-time streams are short and bulk uploads are long.
    """
    groups: list[list[T]] = []
    limit = 0
    for item, count in sorted(items, key=lambda pair: pair[1]):
        if count >= limit:
            groups.append([])
            limit = 2 * count
        groups[-1].append(item)
    return groups


def compute(
    engine: Engine, sessions: Sequence[Session], max_frames: int
) -> list[ChunkResult | Exception]:
    """One runtime call over sessions that all have frames: a result or an error for each.

    A session that gets an error is beyond use: its frames are gone. Raises `DeviceLost`, after
    which all sessions of the engine are.
    """
    slots = [session.slot for session in sessions]
    frames = take_frames([session.ingest for session in sessions], max_frames)
    # A runtime that fails may have advanced some states already.
    before = None if engine.runtime.atomic else engine.pool.gather(slots)
    began = time.perf_counter()
    blocks: Sequence[FrameBlock | Exception]
    try:
        blocks = engine.runtime.run(engine.pool, slots, frames)
    except DeviceLost:
        raise
    except Exception as error:  # noqa: BLE001  a runtime may raise anything
        if len(sessions) == 1:
            return [error]
        if before is not None:
            engine.pool.scatter(slots, before)
        blocks = [_alone(engine, slot, block) for slot, block in zip(slots, frames, strict=True)]
    share_ms = (time.perf_counter() - began) * 1000.0 / len(sessions)
    answers = _answers(sessions, blocks)
    return [_absorb(s, answer, share_ms) for s, answer in zip(sessions, answers, strict=True)]


def _alone(engine: Engine, slot: Slot, frames: Float32) -> FrameBlock | Exception:
    try:
        return engine.runtime.run(engine.pool, [slot], [frames])[0]
    except DeviceLost:
        raise
    except Exception as error:  # noqa: BLE001  hits this session only
        return error


def _answers(
    sessions: Sequence[Session], blocks: Sequence[FrameBlock | Exception]
) -> list[Answer | Exception]:
    try:
        if _all_whole(blocks):
            return [*answer_all(sessions, blocks)]
    except Exception:  # noqa: BLE001  one of them is wrong: it is found below
        pass
    answers: list[Answer | Exception] = []
    for session, block in zip(sessions, blocks, strict=True):
        try:
            answers.append(block if isinstance(block, Exception) else answer_one(session, block))
        except Exception as error:  # noqa: BLE001  must not reach the other sessions
            answers.append(error)
    return answers


def _all_whole(
    blocks: Sequence[FrameBlock | Exception],
) -> TypeGuard[Sequence[FrameBlock]]:
    if isinstance(blocks, JoinedBlocks):
        return True
    return not any(isinstance(block, Exception) for block in blocks)


def _absorb(
    session: Session, answer: Answer | Exception, compute_ms: float
) -> ChunkResult | Exception:
    if isinstance(answer, Exception):
        return answer
    try:
        return session.absorb(answer, compute_ms)
    except Exception as error:  # noqa: BLE001  must not reach the other sessions of the batch
        return error
