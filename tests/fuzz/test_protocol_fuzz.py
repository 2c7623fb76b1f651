"""Clients that say anything in any order: every input has a defined outcome, and nothing leaks."""

from __future__ import annotations

import json
import logging

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from surnn_server.codes import CloseCode, ErrorCode, Refusal
from surnn_server.connection import Close
from surnn_server.messages import End, Keepalive, Start
from surnn_server.protocol import Dialogue, Phase

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "encoding": st.sampled_from(["pcm_s16le", "mulaw", "f32le", "pcm_s24le", "mp3"]),
        "sample_rate": st.sampled_from([50, 100, 77, 0, -1, 10**9]) | JSON,
        "channels": st.sampled_from([2, 1, 3]) | JSON,
        "report": st.sampled_from(["events", "chunk", "frame"]) | JSON,
        "report_interval_ms": st.floats() | st.just(100),
        "thresholds": st.just({"on": {"on": 0.6}}) | JSON,
        "overflow": st.sampled_from(["error", "drop_oldest", "block"]) | JSON,
        "priority": st.sampled_from(["low", "normal", "high"]) | JSON,
        "resume": JSON,
    },
)
STARTS = st.one_of(
    st.just({"type": "start", "model": "fuzz"}),
    OPTIONS.map(lambda options: {"type": "start", "model": "fuzz", **options}),
    st.builds(lambda m: {"type": "start", "model": m}, JSON),
)
CONTROL = st.one_of(
    st.builds(lambda i: {"type": "marker", "id": i}, st.text(max_size=300) | JSON),
    st.sampled_from([{"type": t} for t in ("flush", "keepalive", "end", "marker", "ready", "")]),
    JSON,
)
TEXTS = (STARTS | CONTROL).map(lambda value: json.dumps(value)) | st.text(max_size=60)
SAMPLES = st.one_of(
    st.integers(0, 400).map(bytes),
    st.binary(max_size=64),
    st.lists(st.floats(-1, 1, width=32), max_size=64).map(
        lambda values: np.array(values, "<f4").tobytes()
    ),
    st.just(bytes(3000)),
)


class DialogueMachine(RuleBasedStateMachine):
    """The order of messages against the simplest model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.dialogue = Dialogue(2000)
        self.over = False

    def _try(self, action):
        before = self.dialogue.phase
        message, refusal = None, None
        try:
            message = action()
        except Refusal as error:
            refusal = error
        if refusal is not None:
            assert refusal.code in ErrorCode
            assert 0 < len(refusal.message) < 1000
            assert self.dialogue.phase is before
            self.over = True
        return message, before

    @precondition(lambda self: not self.over)
    @rule(text=TEXTS)
    def say(self, text):
        message, before = self._try(lambda: self.dialogue.text(text))
        if message is None:
            return
        if isinstance(message, Start):
            assert before is Phase.EXPECT_START
            assert self.dialogue.phase is Phase.STREAMING
        elif isinstance(message, End):
            assert before is Phase.STREAMING
            assert self.dialogue.phase is Phase.ENDED
        else:
            assert before is Phase.STREAMING or isinstance(message, Keepalive)
            assert self.dialogue.phase is before

    @precondition(lambda self: not self.over)
    @rule(data=SAMPLES)
    def send(self, data):
        accepted = self.dialogue.phase is Phase.STREAMING and len(data) <= 2000
        self._try(lambda: self.dialogue.binary(data))
        assert self.over is not accepted

    @precondition(lambda self: self.over)
    @rule()
    def connect_again(self):
        self.dialogue, self.over = Dialogue(2000), False

    @invariant()
    def phase_is_known(self):
        assert self.dialogue.phase in Phase


TestDialogue = DialogueMachine.TestCase


SCRIPTS = st.builds(
    lambda first, rest: [*first, *rest],
    st.lists(STARTS.map(lambda value: json.dumps(value)), max_size=1),
    st.lists(SAMPLES | SAMPLES | TEXTS | st.none(), max_size=12),
)


@given(script=SCRIPTS)
def test_every_script_ends_in_one_known_close_and_leaves_nothing(stage, caplog, script):
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        heard = stage.play(script)
    assert not caplog.records, "an exception that nobody expected"
    *messages, last = heard
    assert isinstance(last, Close)
    assert last.code in CloseCode
    assert last.code != CloseCode.INTERNAL
    replies = [json.loads(message) for message in messages]
    assert [reply["seq"] for reply in replies] == list(range(len(replies)))
    errors = [reply for reply in replies if reply["type"] == "error"]
    if last.code == CloseCode.DONE:
        assert not errors
        assert replies[-1]["type"] == "summary"
        assert replies[0]["type"] == "ready"
    else:
        assert errors == replies[-1:]
        assert ErrorCode(errors[0]["code"]).close == last.code
    assert stage.is_empty()
