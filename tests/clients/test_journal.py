"""What is kept for a next connection, and that nothing of it is lost or moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from surnn_client.journal import Control, Journal


def content(journal: Journal, position: int) -> list[bytes | Control]:
    """Pieces joined, controls where they stand."""
    found: list[bytes | Control] = []
    for item in journal.since(position):
        if isinstance(item, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += item
        else:
            found.append(item)
    return found


def test_everything_comes_again_in_its_place() -> None:
    journal = Journal()
    journal.add(b"abc")
    journal.add_control(Control("flush"))
    journal.add(b"def")
    journal.add_control(Control("marker", "m"))
    assert content(journal, 0) == [b"abc", Control("flush"), b"def", Control("marker", "m")]
    assert content(journal, 2) == [b"c", Control("flush"), b"def", Control("marker", "m")]
    assert content(journal, 6) == [Control("flush"), Control("marker", "m")]


def test_what_is_safe_is_dropped_and_markers_stay_until_they_are_answered() -> None:
    journal = Journal(100)
    for i in range(10):
        journal.add(bytes([i]) * 10_000)
        journal.add_control(Control("marker", str(i)))
        journal.add_control(Control("flush"))
    journal.safe(100 + 45_000)
    assert 55_000 <= len(journal) < 75_000
    for i in range(4):
        journal.answered(str(i))
    journal.answered("unknown")
    first, *rest = content(journal, 45_100)
    assert first == b"\4" * 5000
    assert rest[:3] == [Control("marker", "4"), Control("flush"), b"\5" * 10_000]


def test_what_is_added_meanwhile_follows() -> None:
    journal = Journal()
    journal.add(b"a")
    items = journal.since(0)
    assert next(items) == b"a"
    journal.add_control(Control("flush"))
    journal.add(b"b")
    assert list(items) == [Control("flush"), b"b"]


def test_what_was_forgotten_cannot_come_again() -> None:
    journal = Journal()
    journal.add(b"abc")
    journal.forget()
    assert (len(journal), journal.whole, journal.start) == (0, False, 3)


@given(
    parts=st.lists(st.integers(0, 40_000), max_size=20),
    safe=st.lists(st.floats(0, 1), max_size=5),
)
def test_bytes_behind_a_checkpoint_are_always_there(parts: list[int], safe: list[float]) -> None:
    journal, sent, covered = Journal(), b"", 0
    for i, size in enumerate(parts):
        data = bytes([i]) * size
        journal.add(data)
        sent += data
        if i < len(safe):
            covered = max(covered, round(safe[i] * len(sent)))
            journal.safe(covered)
    joined = b"".join(item for item in journal.since(covered) if isinstance(item, bytes))
    assert joined == sent[covered:]
    assert len(journal) <= len(sent) - covered + 50_000
