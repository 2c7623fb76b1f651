"""Tokens and saved sessions that were changed: refused, never believed, never a crash."""

from __future__ import annotations

import base64

import pytest

from surnn.encodings import Encoding
from surnn.engine import Engine, StreamConfig
from surnn.errors import SurnnError
from surnn.snapshot import pack, unpack
from surnn_server.tokens import BadToken, TokenSealer, new_key


@pytest.fixture(scope="module")
def saved(fuzz_runtimes):
    """An engine for each model, and a session of it in the middle of a frame."""
    result = []
    for name, rate, encoding in (
        ("fuzz", 50, Encoding.F32LE),
        ("hear", 44_100, Encoding.PCM_S16LE),
        ("hear", 16_000, Encoding.PCM_S16LE),
    ):
        engine = Engine(fuzz_runtimes[name], 2)
        session = engine.open(StreamConfig(sample_rate=rate, encoding=encoding))
        session.push(bytes(8000))
        engine.step([session])
        result.append((engine, engine.save(session)))
        engine.close(session)
    return result


def test_tokens(campaigns, saved):
    sealer = TokenSealer([new_key()], 60.0)
    tokens = [sealer.seal(snapshot) for _, snapshot in saved]

    def make(chance):
        token = chance.choice(tokens).encode()
        match chance.randrange(5):
            case 0:
                return token.decode()
            case 1:
                bits = bytearray(base64.urlsafe_b64decode(token))
                bits[chance.randrange(len(bits))] ^= 1 << chance.randrange(8)
                return base64.urlsafe_b64encode(bits).decode()
            case 2:
                return chance.randbytes(chance.randrange(200)).decode("latin-1")
            case _:
                return campaigns.spoil(chance, token).decode("utf-8", "replace")

    def check(token):
        if token in tokens:
            assert sealer.open(token).state.position > 0
            return "opened"
        with pytest.raises(BadToken) as refused:
            sealer.open(token)
        return refused.value.code

    campaigns.run("session tokens", 0.12, make, check)


def test_saved_sessions(campaigns, saved):
    """Without a seal, as an operator may hand them in: whatever opens can be computed."""
    packed = [(engine, pack(snapshot)) for engine, snapshot in saved]

    def make(chance):
        engine, data = chance.choice(packed)
        if chance.random() < 0.02:
            return engine, data
        if chance.random() < 0.5:
            # Another number in the header, which stays JSON.
            return engine, _renumber(chance, data)
        return engine, campaigns.spoil(chance, data)

    def check(given):
        engine, data = given
        assert len(engine.pool) == 0
        session = engine.restore(unpack(data))
        try:
            session.push(bytes(4000))
            while session.ready:
                engine.step([session])
            unpack(pack(engine.save(session)))
        except SurnnError as error:
            return f"opened, then {error.code}"
        finally:
            engine.close(session)
        return "opened"

    campaigns.run("saved sessions", 0.12, make, check)


_NUMBERS = [b"0", b"1", b"-1", b"3", b"1.5", b"1e400", b"true", b"null", b"[]", b'"x"']
_NUMBERS += [
    str(2**bits + off).encode() for bits in (16, 31, 32, 53, 62, 63, 64) for off in (-1, 0)
]


def _renumber(chance, data):
    begin = data.index(b"{")
    end = begin + int.from_bytes(data[6:10], "little")
    header = bytearray(data[begin:end])
    spots = [
        i for i in range(1, len(header)) if header[i] in b"0123456789" and header[i - 1] in b":[,"
    ]
    for _ in range(chance.randint(1, 3)):
        at = chance.choice(spots)
        stop = at
        while stop < len(header) and header[stop] in b"0123456789.":
            stop += 1
        if stop == at:
            break
        header[at:stop] = chance.choice(_NUMBERS)
        spots = [
            i
            for i in range(1, len(header))
            if header[i] in b"0123456789" and header[i - 1] in b":[,"
        ]
    return data[:6] + len(header).to_bytes(4, "little") + bytes(header) + data[end:]
