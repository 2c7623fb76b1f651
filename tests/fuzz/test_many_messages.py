"""Frames of clients by the hundred thousand: refused with a code, or obeyed."""

from __future__ import annotations

import json

from surnn_server.codes import CloseCode, ErrorCode
from surnn_server.connection import Close
from surnn_server.protocol import Dialogue, Phase

START = {"type": "start", "model": "fuzz"}
OPTIONS = {
    "encoding": ("f32le", "pcm_s16le", "mulaw", "mp3", 7),
    "sample_rate": (50, 100, 77, 0, -1, 10**9, 1e308, "50"),
    "channels": (2, 1, 3, True),
    "report": ("events", "chunk", "frame", None),
    "report_interval_ms": (0, 100, 1e9, -1),
    "thresholds": ({"on": {"on": 0.6}}, {"on": {"on": 2}}, {"x": {}}, []),
    "overflow": ("error", "drop_oldest", "block", ""),
    "priority": ("low", "normal", "high", "highest"),
    "checkpoint_interval_s": (0, 0.1, 5, -1, 1e9),
    "resume": ("gAAAA", "", "\u0000", None, 5),
    "reported_frames": (0, 10**18, -1, 10**30),
    "unknown": (1,),
}
CONTROL = [
    {"type": "marker", "id": "m"},
    {"type": "marker", "id": "\u2028" * 256},
    {"type": "flush"},
    {"type": "keepalive"},
    {"type": "end"},
    {"type": "ready"},
    {},
    [],
    None,
    "start",
    5,
]


def _start(chance):
    names = chance.sample(list(OPTIONS), chance.randrange(4))
    return START | {name: chance.choice(OPTIONS[name]) for name in names}


def _text(chance, campaigns, start):
    message = _start(chance) if start else chance.choice(CONTROL)
    text = json.dumps(message)
    if chance.random() < 0.5:
        text = campaigns.spoil(chance, text.encode()).decode("utf-8", "replace")
    return text


def _samples(chance):
    match chance.randrange(4):
        case 0:
            return bytes(chance.choice((0, 1, 8, 80, 400, 2048)))
        case 1 if chance.random() < 0.2:
            return chance.choice((chance.randbytes(chance.randrange(64)), bytes(2049)))
        case _:
            # Small floats, so that most of them can be samples.
            return b"".join(
                chance.randbytes(2) + bytes((chance.randrange(128), 0x3E))
                for _ in range(chance.randrange(40))
            )


def test_frames_one_by_one(campaigns):
    def make(chance):
        phase = chance.choice(list(Phase))
        if chance.random() < 0.2:
            return phase, _samples(chance)
        return phase, _text(chance, campaigns, chance.random() < 0.4)

    def check(given):
        phase, frame = given
        dialogue = Dialogue(2048)
        dialogue.phase = phase
        if isinstance(frame, bytes):
            dialogue.binary(frame)
            return "samples"
        return dialogue.text(frame).type

    campaigns.run("WebSocket frames, one by one", 0.25, make, check)


def test_whole_connections(campaigns, stage):
    def make(chance):
        frames = [json.dumps(START)]
        if chance.random() < 0.4:
            frames = [_text(chance, campaigns, True)]
        while len(frames) < 10:
            # Mostly samples: any text that is wrong ends the stream.
            if chance.random() < 0.7:
                frames.append(_samples(chance))
            elif chance.random() < 0.8:
                frames.append(json.dumps(chance.choice(CONTROL[:4])))
            else:
                frames.append(_text(chance, campaigns, False))
        return frames

    def check(frames):
        *messages, last = stage.play(frames)
        assert isinstance(last, Close)
        assert last.code in CloseCode
        assert last.code != CloseCode.INTERNAL
        replies = [json.loads(message) for message in messages]
        assert [reply["seq"] for reply in replies] == list(range(len(replies)))
        if last.code == CloseCode.DONE:
            assert replies[-1]["type"] == "summary"
        else:
            assert ErrorCode(replies[-1]["code"]).close == last.code
        return last.reason or "done"

    campaigns.run("WebSocket connections of 10 frames", 0.16, make, check, each=10)
    assert stage.is_empty()
