"""Tokens: what was sealed opens; nothing else does, not even the same bytes written otherwise."""

from __future__ import annotations

import pytest

from surnn.engine import Engine, StreamConfig
from surnn.errors import InvalidConfig
from surnn.snapshot import pack
from surnn_server.tokens import BadToken, ExpiredToken, TokenSealer, new_key


@pytest.fixture
def snapshots(fake_runtime):
    """Of streams of some lengths, so that tokens end in every kind of padding."""
    engine = Engine(fake_runtime, 3)
    found = []
    for size in (0, 33, 66):
        session = engine.open(StreamConfig())
        session.push(bytes(2 * size))
        found.append(engine.save(session))
    return found


def test_a_token_opens_as_it_was_sealed(snapshots):
    sealer = TokenSealer([new_key()], 60.0)
    for snapshot in snapshots:
        token = sealer.seal(snapshot)
        assert pack(sealer.open(token)) == pack(snapshot)
        assert len(token) < 4000


def test_no_single_bit_may_change(snapshots):
    sealer = TokenSealer([new_key()], 60.0)
    for snapshot in snapshots:
        token = sealer.seal(snapshot).encode()
        for at in range(len(token)):
            for bit in range(8):
                changed = bytearray(token)
                changed[at] ^= 1 << bit
                with pytest.raises(BadToken):
                    sealer.open(changed.decode("latin-1"))


@pytest.mark.parametrize("extra", ["\n", " ", "=", "A", "é"])
def test_nothing_may_be_added(snapshots, extra):
    sealer = TokenSealer([new_key()], 60.0)
    token = sealer.seal(snapshots[0])
    for changed in (token + extra, extra + token, token[:40] + extra + token[40:]):
        with pytest.raises(BadToken):
            sealer.open(changed)


def test_tokens_expire(snapshots):
    now = 1000.0
    sealer = TokenSealer([new_key()], 60.0, clock=lambda: now)
    token = sealer.seal(snapshots[0])
    now = 1060.0
    sealer.open(token)
    now = 1061.0
    with pytest.raises(ExpiredToken, match=r"token was sealed 61 s ago, expected at most 60 s"):
        sealer.open(token)


def test_keys_rotate(snapshots):
    old, new = new_key(), new_key()
    token = TokenSealer([old], 60.0).seal(snapshots[0])
    TokenSealer([new, old], 60.0).open(token)
    with pytest.raises(BadToken, match="was not sealed by this service"):
        TokenSealer([new], 60.0).open(token)
    with pytest.raises(BadToken):
        TokenSealer([old], 60.0).open(TokenSealer([new, old], 60.0).seal(snapshots[0]))


def test_a_key_that_is_none_is_refused():
    with pytest.raises(InvalidConfig, match="expected what `surnn key` prints"):
        TokenSealer(["secret"], 60.0)
