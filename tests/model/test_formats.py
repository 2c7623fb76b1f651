from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import numpy as np
import pytest

from surnn.errors import InvalidAudio, InvalidConfig
from surnn.formats import Format, parse_format, render, score_record, write
from surnn.scan import FileError, FileScore, FrameTrack, Segment
from surnn.types import Sparsity


def make(file: str, *segments: Segment, error: FileError | None = None) -> FileScore:
    return FileScore(
        file=file,
        model="vad",
        labels=("speech", "dog barks"),
        seconds=0.0 if error else 3.70049,
        segments=segments,
        sparsity=Sparsity((0.16666667, 1 / 3), updates=200, possible=1000),
        compute_ms=1.23456,
        error=error,
    )


FIRST = make(
    "calls/first call.wav",
    Segment("speech", 0.1 + 0.2, 1.0, 0.98765432),
    Segment("dog barks", 3661.5, 3662.25049, 1.0),
)
QUIET = make("quiet.wav")
FAILED = make("bad.wav", error=FileError("invalid_audio", 'bad.wav: a "text", --> &\n<no> audio'))
ALL = [FIRST, QUIET, FAILED]

RECORD = {
    "file": "calls/first call.wav",
    "model": "vad",
    "seconds": 3.7,
    "segments": [
        {"label": "speech", "start": 0.3, "end": 1.0, "score": 0.9877},
        {"label": "dog barks", "start": 3661.5, "end": 3662.25, "score": 1.0},
    ],
    "sparsity": {
        "open_rate": [0.1667, 0.3333],
        "updates": 200,
        "skipped": 800,
        "possible": 1000,
    },
    "cost": {"compute_ms": 1.235, "realtime_factor": 2997.4},
}


def text(format: Format, *scores: FileScore) -> str:
    out = io.StringIO()
    assert write(format, scores, out) == len(scores)
    return out.getvalue()


def test_json() -> None:
    values = json.loads(text(Format.JSON, *ALL))
    assert values[0] == RECORD
    assert [v["file"] for v in values] == ["calls/first call.wav", "quiet.wav", "bad.wav"]
    assert values[1]["segments"] == []
    assert "error" not in values[1]
    assert values[2]["error"] == {
        "code": "invalid_audio",
        "message": 'bad.wav: a "text", --> &\n<no> audio',
    }
    assert json.loads(text(Format.JSON)) == []
    assert len(json.loads(text(Format.JSON, QUIET))) == 1


def test_ndjson() -> None:
    lines = text(Format.NDJSON, *ALL).splitlines()
    assert [json.loads(line) for line in lines] == json.loads(text(Format.JSON, *ALL))
    assert text(Format.NDJSON) == ""


def test_numbers_are_written_the_same_way_each_time() -> None:
    assert text(Format.NDJSON, FIRST).startswith(
        '{"file": "calls/first call.wav", "model": "vad", "seconds": 3.7, "segments": '
        '[{"label": "speech", "start": 0.3, "end": 1.0, "score": 0.9877}'
    )


def test_frames() -> None:
    probs = np.array([[0.12345, 1], [0.5, 0], [0.25, 0.75]], np.float32)
    rates = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], np.float32)
    score = FileScore(
        **{f: getattr(QUIET, f) for f in QUIET.__slots__}
        | {"frames": FrameTrack(100.0, probs, rates)}
    )
    assert score_record(score)["frames"] == {
        "rate": 100.0,
        "probs": {"speech": [0.1235, 0.5, 0.25], "dog barks": [1.0, 0.0, 0.75]},
        "open_rate": [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]],
    }


def test_csv() -> None:
    written = text(Format.CSV, *ALL)
    assert written.startswith(
        "file,start_s,end_s,label,score,error\n"
        "calls/first call.wav,0.300,1.000,speech,0.9877,\n"
        "calls/first call.wav,3661.500,3662.250,dog barks,1.0000,\n"
    )
    rows = list(csv.DictReader(io.StringIO(written, newline="")))
    assert len(rows) == 3
    assert rows[2]["error"] == 'bad.wav: a "text", --> &\n<no> audio'
    assert rows[2]["label"] == ""


def test_rttm() -> None:
    lines = text(Format.RTTM, *ALL).splitlines()
    assert lines == [
        "SPEAKER first_call 1 0.300 0.700 <NA> <NA> speech 0.9877 <NA>",
        "SPEAKER first_call 1 3661.500 0.750 <NA> <NA> dog_barks 1.0000 <NA>",
        ';; bad failed: bad.wav: a "text", --> & <no> audio',
    ]
    # NIST RT-09: type, file, channel, onset, duration, ortho, subtype, name, confidence, lookahead
    assert all(len(line.split()) == 10 for line in lines[:2])


def test_audacity() -> None:
    assert text(Format.AUDACITY, FIRST) == (
        "0.300000\t1.000000\tspeech\n3661.500000\t3662.250490\tdog barks\n"
    )
    assert text(Format.AUDACITY, QUIET) == ""
    with pytest.raises(InvalidAudio, match=r"^bad\.wav: a"):
        text(Format.AUDACITY, FAILED)


def test_webvtt() -> None:
    assert text(Format.WEBVTT, FIRST) == (
        "WEBVTT\n"
        "\n00:00:00.300 --> 00:00:01.000\nspeech\n"
        "\n01:01:01.500 --> 01:01:02.250\ndog barks\n"
    )
    assert text(Format.WEBVTT, QUIET) == "WEBVTT\n"
    assert text(Format.WEBVTT, FAILED) == (
        'WEBVTT\n\nNOTE failed: bad.wav: a "text", --&gt; &amp; &lt;no&gt; audio\n'
    )


def test_webvtt_cues_are_never_empty() -> None:
    short = make("a.wav", Segment("a<b>&c", 59.9999, 60.0001, 0.5))
    assert "00:01:00.000 --> 00:01:00.001\na&lt;b&gt;&amp;c\n" in text(Format.WEBVTT, short)


@pytest.mark.parametrize("format", [Format.AUDACITY, Format.WEBVTT])
def test_formats_for_one_file_refuse_the_second(format: Format) -> None:
    assert format.single_file
    with pytest.raises(
        InvalidConfig, match=rf"{format} describes one file, expected no second \('quiet\.wav'\)"
    ):
        text(format, FIRST, QUIET)


@pytest.mark.parametrize("format", [f for f in Format if not f.single_file])
def test_every_score_is_written_before_the_next_is_asked_for(format: Format) -> None:
    asked: list[str] = []

    def scores() -> Iterator[FileScore]:
        for score in (FIRST, FAILED):
            asked.append(score.file)
            yield score

    written = ""
    for piece in render(format, scores()):
        written += piece
        if "first" in written:
            break
    assert asked == [FIRST.file]


@pytest.mark.parametrize("format", list(Format))
def test_names_and_media_types(format: Format) -> None:
    assert parse_format(format.value) is format
    assert parse_format(format.value.upper()) is format
    assert parse_format(format.media_type) is format
    assert format.extension.startswith(".")


def test_an_unknown_format() -> None:
    assert len({format.media_type for format in Format}) == len(Format)
    with pytest.raises(InvalidConfig, match=r"format is 'xml', expected one of \['json', 'ndjson'"):
        parse_format("xml")
