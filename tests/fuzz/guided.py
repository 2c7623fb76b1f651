"""Inputs that atheris makes up, following the branches that they take through our own parsers.

    python tests/fuzz/guided.py TARGET -runs=20000 -seed=1

With `--all REPORT`, every target in a process of its own, with these arguments; the counts go to a
file. Not a test: atheris takes a process over, and is no dependency of the project.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["surnn", "surnn_server"]):
    import surnn
    from surnn import SurnnError
    from surnn.engine import Engine, StreamConfig
    from surnn.sensorfile import SensorFile
    from surnn.snapshot import pack, unpack
    from surnn_server.codes import Refusal
    from surnn_server.frames import frame_extent
    from surnn_server.protocol import Dialogue
    from surnn_server.v2.inputs import StreamFormat, flags, outputs, samples
    from surnn_server.v2.tensors import parse_request

Target = Callable[[bytes], None]


def messages() -> tuple[Target, list[bytes]]:
    """The text frames of one connection, a line each."""

    def check(data: bytes) -> None:
        dialogue = Dialogue(2048)
        for line in data.decode("utf-8", "replace").split("\n"):
            dialogue.text(line)

    start = {"type": "start", "model": "vad", "encoding": "pcm_s16le", "sample_rate": 8000}
    more = {"report": "frame", "thresholds": {"speech": {"on": 0.5}}, "resume": "x"}
    rest = [{"type": "marker", "id": "a"}, {"type": "flush"}, {"type": "end"}]
    lines = "\n".join(json.dumps(message) for message in [start | more, *rest])
    return check, [lines.encode(), json.dumps(start).encode()]


def requests() -> tuple[Target, list[bytes]]:
    """Bodies of /v2; the first two bytes say where the JSON ends."""
    spec = surnn.load("activity", runtime="onnx").spec

    def check(data: bytes) -> None:
        end, body = int.from_bytes(data[:2], "little"), data[2:]
        request = parse_request(body, end if end < 0xFFFF else None)
        flags(request)
        outputs(request)
        if request.inputs:
            form = StreamFormat.of(spec, request.inputs[0].datatype, request.parameters)
            samples(spec, request.inputs, form.channels)

    tensor = {"name": "samples", "datatype": "FP32", "shape": [1, 6], "data": [0.0] * 6}
    binary = tensor | {"parameters": {"binary_data_size": 24}}
    del binary["data"]
    parameters = {"sequence_id": 5, "sequence_start": True, "sample_rate": 100}
    seeds = []
    for item, tail in ((tensor, b""), (binary, bytes(24))):
        head = json.dumps({"inputs": [item], "parameters": parameters}).encode()
        end = len(head) if tail else 0xFFFF
        seeds.append(end.to_bytes(2, "little") + head + tail)
    return check, seeds


def sessions() -> tuple[Target, list[bytes]]:
    """States as an operator may hand them in: whatever opens can be computed."""
    engine = Engine(surnn.load("activity", runtime="onnx").runtime, 1)
    session = engine.open(StreamConfig())
    session.push(bytes(6 * 4 * 30))
    engine.step([session])
    seed = pack(engine.save(session))
    engine.close(session)

    def check(data: bytes) -> None:
        session = engine.restore(unpack(data))
        try:
            session.push(bytes(6 * 4 * 10))
            engine.step([session])
        finally:
            engine.close(session)

    return check, [seed]


def tables() -> tuple[Target, list[bytes]]:
    """Sensor recordings as text."""

    def check(data: bytes) -> None:
        with SensorFile(("a.csv", io.BytesIO(data))) as sensor:
            assert sum(len(block) for block in sensor.blocks()) <= 8 * len(data) + 8

    return check, [b"x,y,z\n1,2,3\n4,5,6\n", b"t\tx\n0.1\t1e3\n", b'"a";"b"\n"1";"2"\n']


def heads() -> tuple[Target, list[bytes]]:
    """Heads of WebSocket frames: an extent lies behind its head, and needs all of it."""

    def check(data: bytes) -> None:
        extent = frame_extent(data, 0)
        if extent is not None:
            begin, end = extent
            assert 2 <= begin <= 14
            assert begin <= end < begin + (1 << 64)
            assert frame_extent(data[: begin - 5], 0) is None or begin < 7

    return check, [b"\x82\x85abcd12345", b"\x82\xfe\x01\x00abcd", b"\x82\xff" + bytes(12)]


TARGETS = {t.__name__: t for t in (messages, requests, sessions, tables, heads)}


def run(name: str, arguments: list[str], corpus: Path) -> None:
    check, seeds = TARGETS[name]()
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        # Anything else is a crash.
        with contextlib.suppress(Refusal, SurnnError):
            check(data)

    atheris.Setup([sys.argv[0], str(corpus), *arguments], one)
    atheris.Fuzz()


def run_all(report: Path, arguments: list[str]) -> int:
    from surnn.bench.machine import describe

    targets = []
    for name in TARGETS:
        command = [sys.executable, __file__, name, *arguments]
        told = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        done = re.findall(r"Done (\d+) runs", told.stderr)
        branches = re.findall(r" cov: (\d+) ", told.stderr)
        targets.append(
            {
                "target": name,
                "inputs": int(done[-1]) if done else 0,
                "branches": int(branches[-1]) if branches else 0,
                "crashed": told.returncode != 0,
            }
        )
        if told.returncode:
            print(told.stderr[-3000:])
    result = {
        "report": "guided",
        "machine": describe(),
        "arguments": arguments,
        "targets": targets,
    }
    report.write_text(json.dumps(result, indent=2) + "\n")
    return sum(bool(target["crashed"]) for target in targets)


if __name__ == "__main__":
    import tempfile

    if sys.argv[1] == "--all":
        sys.exit(run_all(Path(sys.argv[2]), sys.argv[3:]))
    with tempfile.TemporaryDirectory() as folder:
        run(sys.argv[1], sys.argv[2:], Path(folder))
