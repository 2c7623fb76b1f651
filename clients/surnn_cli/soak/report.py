"""docs/reliability.md, written from the JSON of soaks, fault tests and fuzzing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surnn.bench.report import machine_line
from surnn.bench.tables import table
from surnn.errors import InvalidConfig

__all__ = ["render", "write_report"]

Report = Mapping[str, Any]

_HEAD = """# Reliability

Written by `surnn soak report` from the JSON in `docs/data`; do not edit.

The claim: a stream whose client lives loses nothing and hears nothing twice, whatever happens to
servers and connections; and whatever one client sends, no other client notices. What follows is
how that was tried, how often, and what was lost."""
_SOAK = """A real server in a process of its own, behind a proxy that stands for the network.
Well-behaved streams of `surnn_client`, in four formats and at several speeds up to as fast as it
goes, run one after the other; every probability and event of each is compared with what the same
samples give undisturbed, in another process. With the native runtime every bit has to be the same;
the streams of the second model run on ONNX Runtime, whose last bits depend on what shares a call,
and are compared within 1e-5. Meanwhile the server is killed, drained and replaced on other ports,
connections are cut within frames or stalled, models are replaced under their streams, and
misbehaving clients do what the second table lists. In the last 40 % of the time one server lives
on, so that its memory can be watched."""
_MARATHON = """One stream lasts as long as the soak, and is 30 days old at its beginning: every
event and the totals of its summary are compared. Growth of the server's memory by more than 64 MB,
or of its latency to more than four times of what it was, is a failure."""
_FAULTS = """Each fault at a moment that was chosen to be the worst. `SURNN_FAULT_SESSIONS`,
`SURNN_FAULT_SECONDS` and `SURNN_FAULT_KILLS` make the tests with kills longer than `make test`
has them."""
_FUZZ = """Seeded inputs to everything that reads what clients send: valid ones with bits, numbers
and lengths changed, and plain junk. An input passes if it is taken or refused with a code of its
own; an exception, a logged error, a leaked session or slot, or growth of memory is a failure."""
_CONFORMANCE = """Every case of the Autobahn suite but those of compression, which the server does
not offer, against the class that streams arrive at: on the short way that streams take, and on the
usual one of ASGI. *Non-strict* is what RFC 6455 allows and the suite would have otherwise."""
_GUIDED = """Inputs that atheris makes up by following the branches that earlier ones took through
our own parsers. Whatever is not taken, or refused with a code of its own, is a crash."""
_OPENAPI = """Requests that schemathesis makes up from the server's own OpenAPI, alone and one after
the other. A 5xx, or an answer that the OpenAPI does not describe, is a failure."""
_LIMITS = """## Limits

- One machine, and clients on it: no real network, no power cut, no second host.
- A stream is as safe as its client: what was sent since the last checkpoint is kept there and
  nowhere else.
- A wall clock that jumps forward by more than the life of tokens makes those sealed before it
  unusable (`token_expired`), and finished jobs look old enough to be deleted. Running streams do
  not notice: their timers follow the monotonic clock.
- libsndfile loses about 1 KB of memory at each damaged Ogg file, less at FLAC, also when such a
  file is only opened and closed: a client that may upload can make a server grow by that much for
  each.
- Faults of the kernel and of hardware are not simulated. A full disk for jobs is a real one where
  a file system may be mounted, and elsewhere the error that the system would give.
- Of the Autobahn suite's cases, 7.1.5 fails: a close between the pieces of a message is answered
  with 1002, as the websockets library does, instead of its own code."""


def write_report(data: Path, page: Path) -> Path:
    """Write the page. Raises `InvalidConfig` when the folder holds no results."""
    reports = []
    for path in sorted(data.glob("*.json")):
        report = json.loads(path.read_text())
        if report.get("report") in _SECTIONS:
            reports.append((path.name, report))
    if not reports:
        raise InvalidConfig(
            f"{data} holds no results, expected JSON files of `surnn soak --output`"
        )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(reports))
    return page


def render(reports: list[tuple[str, Report]]) -> str:
    """The page as Markdown, from file names and what they hold."""
    parts = [_HEAD, _summary([report for _, report in reports])]
    for kind, section in _SECTIONS.items():
        for name, report in reports:
            if report["report"] == kind:
                parts += section(name, report)
    return "\n\n".join([*parts, _LIMITS]) + "\n"


def _summary(reports: list[Report]) -> str:
    rows: list[list[object]] = []
    for report in reports:
        if report["report"] == "soak":
            streams = report["streams"]
            rows.append(
                [
                    f"soak, {report['minutes']:g} min",
                    f"{streams['finished']} streams of {streams['hours']:g} h, "
                    f"{sum(report['faults'].values())} faults of server and network, "
                    f"{sum(c['tried'] for c in report['clients'].values())} misbehaving clients",
                    len(report["failures"]),
                ]
            )
        elif report["report"] == "faults":
            tests = report["tests"]
            failed = sum(test["outcome"] != "passed" for test in tests)
            at_once = report["settings"].get("sessions", "some")
            rows.append(["fault tests", f"{len(tests)} tests, {at_once} streams each", failed])
        elif report["report"] == "conformance":
            cases = sum(way["cases"] for way in report["ways"])
            failed = sum(len(way["failed"]) for way in report["ways"])
            rows.append(["RFC 6455 (Autobahn)", f"{cases} cases", failed])
        elif report["report"] == "guided":
            inputs = sum(target["inputs"] for target in report["targets"])
            failed = sum(target["crashed"] for target in report["targets"])
            rows.append(["fuzzing guided by coverage (atheris)", f"{inputs} inputs", failed])
        elif report["report"] == "openapi":
            rows.append(
                ["requests from the OpenAPI (schemathesis)", report["cases"], report["failed"]]
            )
        else:
            failed = sum(target["unhandled"] for target in report["targets"])
            rows.append(["fuzzing", f"{report['inputs']} inputs", failed])
    return table(["", "tried", "lost or wrong"], rows)


def _soak(name: str, report: Report) -> list[str]:
    streams, server = report["streams"], report["server"]
    command = f"surnn soak --minutes {report['minutes']:g} --streams {streams['at_once']} "
    rows: list[list[object]] = [
        ["streams at once", streams["at_once"]],
        ["streams finished", streams["finished"]],
        ["of these compared bit for bit", streams["compared_bit_for_bit"]],
        ["**streams lost or different**", streams["lost"]],
        ["hours of stream", streams["hours"]],
        ["frames, events compared", f"{streams['frames']}, {streams['events']}"],
        ["went on in another client, from a token", streams["handed_over"]],
        ["reconnects by reason", _counts(streams["reconnects"])],
        ["stream time sent again, s", streams["sent_again_s"]],
        ["servers started", server["started"]],
        ["faults", _counts(report["faults"])],
        ["longest end after SIGTERM, s", server["longest_drain_s"]],
        [
            "unclean ends, unexpected log lines",
            _pair(server, "unclean_ends", "unexpected_log_lines"),
        ],
        ["sessions, slots left at the end", _left(server)],
        [
            "open files under load, after the last client",
            f"{server['open_files_under_load']}, {server['left']['open_files']}",
        ],
        ["server that lived on: s", server["steady_s"]],
        ["its memory, MB", server["memory_mb"]],
        ["growth after warming up, MB", server["memory_growth_mb"]],
        ["mean latency, ms", server["latency_ms"]],
        ["growth of it, ms", server["latency_growth_ms"]],
    ]
    if "marathon" in report:
        rows.append(
            ["the one that lasted: hours, events", _pair(report["marathon"], "hours", "events")]
        )
    clients: list[list[object]] = [
        [what, counts["tried"], counts["right"], counts["interrupted"]]
        for what, counts in report["clients"].items()
    ]
    return [
        f"## Soak of {report['minutes']:g} minutes",
        _SOAK,
        *([_MARATHON] if "marathon" in report else []),  # older soaks had none
        f"`{command}--seed {report['seed']} --output docs/data/{name}`",
        machine_line(report["machine"]),
        table(["", ""], rows),
        "Latency here is that of a server which is kept busy on purpose, by streams as fast as "
        "they go.",
        "*Right*: ended with the one error code, or result, that is right. *Interrupted*: the "
        "server was taken away meanwhile, or full, so there was no answer to judge.",
        table(["client", "tried", "right", "interrupted"], clients),
    ]


def _faults(name: str, report: Report) -> list[str]:
    settings = report["settings"]
    command = " ".join(f"SURNN_FAULT_{key.upper()}={value}" for key, value in settings.items())
    rows: list[list[object]] = [
        [test["test"], test["outcome"], test["seconds"]] for test in report["tests"]
    ]
    return [
        f"## Faults, one by one: {settings.get('sessions', 'some')} streams at a time",
        _FAULTS,
        f"`{command} SURNN_FAULT_REPORT=docs/data/{name} "
        f"pytest {' '.join(report.get('selected', ['tests/faults']))} -q`",
        machine_line(report["machine"]),
        table(["test", "outcome", "s"], rows),
    ]


def _fuzz(name: str, report: Report) -> list[str]:
    rows: list[list[object]] = [
        [
            target["target"],
            target["inputs"],
            target["unhandled"],
            target["memory_growth_mb"],
            _counts(target["outcomes"]),
        ]
        for target in report["targets"]
    ]
    return [
        "## Fuzzing",
        _FUZZ,
        f"`make fuzz` (seed {report['seed']})",
        machine_line(report["machine"]),
        table(["target", "inputs", "unhandled", "MB grown", "outcomes"], rows),
    ]


def _conformance(name: str, report: Report) -> list[str]:
    rows: list[list[object]] = [
        [way["way"], way["cases"], _counts(way["outcomes"]), ", ".join(way["failed"]) or "none"]
        for way in report["ways"]
    ]
    return [
        "## RFC 6455",
        _CONFORMANCE,
        f"`SURNN_WSTEST=wstest SURNN_WSTEST_REPORT=docs/data/{name} pytest tests/conformance -q`",
        machine_line(report["machine"]),
        table(["way", "cases", "outcomes", "failed"], rows),
    ]


def _guided(name: str, report: Report) -> list[str]:
    rows: list[list[object]] = [
        [target["target"], target["inputs"], target["branches"], target["crashed"]]
        for target in report["targets"]
    ]
    return [
        "## Fuzzing guided by coverage",
        _GUIDED,
        f"`tests/fuzz/guided.py --all docs/data/{name} {' '.join(report['arguments'])}` "
        "(`make fuzzapi`)",
        machine_line(report["machine"]),
        table(["target", "inputs", "branches", "crashed"], rows),
    ]


def _openapi(name: str, report: Report) -> list[str]:
    return [
        "## Requests from the OpenAPI",
        _OPENAPI,
        f"`tests/fuzz/openapi.py schemathesis docs/data/{name} {' '.join(report['options'])}` "
        "(`make fuzzapi`)",
        machine_line(report["machine"]),
        f"{report['cases']} requests to {report['operations']} operations, "
        f"{report['failed']} failures.",
    ]


_SECTIONS = {
    "soak": _soak,
    "faults": _faults,
    "fuzz": _fuzz,
    "guided": _guided,
    "openapi": _openapi,
    "conformance": _conformance,
}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _pair(values: Mapping[str, Any], first: str, second: str) -> str:
    return f"{values[first]}, {values[second]}"


def _left(server: Mapping[str, Any]) -> str:
    return _pair(server["left"], "surnn_sessions_active", "surnn_slots_used")
