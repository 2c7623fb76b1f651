"""docs/vad.md, written from what `surnn eval --peers` gave, so that no figure is typed by hand.

    python -m surnn.compare_page docs/data docs/vad.md

Read are `vad.json` (the test recordings), `vad-3.json` (the version before, on the same ones) and
`vad-meetings.json` (meetings).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surnn.bench.tables import table
from surnn.errors import InvalidConfig

__all__ = ["render", "write_page"]

Figures = Mapping[str, Any]
_FIRST = "speech_librispeech"
_AIMS = {"auc": 0.985, "accuracy": 0.95, "alone": 2.0, "onset": 100.0, "open": 0.2, "silence": 0.1}
_HEAD = """# `vad` beside other detectors

Written by `python -m surnn.compare_page` from the JSON in `docs/data`; do not edit.

Recordings of speakers, voices, noises and music of the role `test` in
[model/configs/vad.toml](../model/configs/vad.toml): speech at 0 to 20 dB and clean, telephone
lines and codecs, six levels, three offsets, and noise and music without speech. All detectors
are measured by the same code:

```console
$ python -m surnn.train.held_out model/configs/vad.toml --data DIR --role valid --out valid
$ python -m surnn.train.held_out model/configs/vad.toml --data DIR --role test --out test
$ surnn eval vad test --peers --tune valid --json > docs/data/vad.json
$ surnn eval vad DIR/meetings_ami --peers --json > docs/data/vad-meetings.json
$ python -m surnn.compare_page docs/data docs/vad.md
```
"""
_NOTES = """*Onset: median time from the start of speech until its event is sent. Missed:
stretches of speech without an event; two that one event covers count as one missed. Thresholds
and event rules were chosen on `valid`: what costs least by the hour (missed, false in speech, false
without speech beyond 2), with a limit on the median onset of 140 ms for `vad` and of 100 ms for
the others (`surnn.tuning.choose_rule`). Every further figure, by set, language, ratio, level,
line and kind of noise, is in [data/vad.json](data/vad.json) and the [model
card](../model/surnn/pretrained/vad/README.md). webrtcvad has no score: how many of its four
modes hear speech is taken for one. Opus, Vorbis and MP3 are at about the lowest rates of their
encoders.*"""
_TAIL = """Labels of speech are by energy on the clean recordings, so edges and short pauses are a
matter of convention. One seed."""
_MEETINGS = """## Meetings

Excerpts of the AMI corpus, turns labelled coarsely by hand; no threshold was chosen on them:
"""


def write_page(data: Path, page: Path) -> None:
    """Write the page. Raises `InvalidConfig` where one of the files is not there."""
    read = {name: _read(data / f"{name}.json") for name in ("vad", "vad-3", "vad-meetings")}
    page.write_text(render(read["vad"], read["vad-3"], read["vad-meetings"]), encoding="utf-8")


def render(test: Figures, before: Figures, meetings: Figures) -> str:
    """The page as Markdown."""
    own: Figures = test["detectors"]["vad"]
    rows = [
        (f"vad {own['version']} (shipped)", own),
        (f"vad {before['detectors']['vad']['version']}", before["detectors"]["vad"]),
        *((f"{n} {d['version']}", d) for n, d in test["detectors"].items() if n != "vad"),
    ]
    columns = ["", "AUC, all", "AUC, readers 0–20 dB", "accuracy, the same", "AUC, telephone"]
    columns += ["AUC, Opus", "onset (ms)", "missed", "false events an hour, with speech"]
    columns += ["noise and music alone", "open rate", "in digital silence"]
    parts = [
        _HEAD,
        f"{test['data']['recordings']} recordings, {_minutes(own['all'])} minutes, "
        f"{own['all']['events']['truth']} stretches of speech.\n",
        table(columns, [_row(name, d) for name, d in rows]),
        "",
        _NOTES,
        "",
        _aims(own),
        "",
        _TAIL,
        "",
        _MEETINGS,
        table(
            ["", "AUC", "accuracy", "found", "false events", "onset (ms)"],
            [_meeting(f"{n} {d['version']}", d["all"]) for n, d in meetings["detectors"].items()],
        ),
    ]
    return "\n".join(parts) + "\n"


def _row(name: str, one: Figures) -> list[object]:
    readers, line, whole = one["by"]["set"][_FIRST], one["by"]["line"], one["all"]
    return [
        name,
        _digits(whole["auc"]),
        _digits(readers["auc"]),
        _digits(readers["accuracy"]),
        _digits(line["telephone"]["auc"]),
        _digits(line["opus"]["auc"]),
        _digits(whole["events"]["latency_ms_median"], 0),
        whole["events"]["missed"],
        _digits(_hourly(one, alone=False), 0),
        _digits(_hourly(one, alone=True), 0),
        _digits(whole.get("open_rate")),
        _digits(one["by"]["alone"]["digital silence"].get("open_rate")),
    ]


def _meeting(name: str, whole: Figures) -> list[object]:
    events = whole["events"]
    found = f"{events['found']} of {events['truth']}"
    late = _digits(events["latency_ms_median"], 0)
    return [name, _digits(whole["auc"]), _digits(whole["accuracy"]), found, events["false"], late]


def _aims(own: Figures) -> str:
    """Which of the aims are reached, and which are not."""
    readers = own["by"]["set"][_FIRST]
    silence = own["by"]["alone"]["digital silence"]["open_rate"]
    onset = own["all"]["events"]["latency_ms_median"]
    alone = _hourly(own, alone=True)
    kept = [
        (f"AUC of at least {_AIMS['auc']}", readers["auc"] >= _AIMS["auc"]),
        (f"accuracy of at least {_AIMS['accuracy']}", readers["accuracy"] >= _AIMS["accuracy"]),
        (
            f"at most {_AIMS['alone']:g} false events an hour on noise and music alone",
            alone <= _AIMS["alone"],
        ),
        (f"onsets within {_AIMS['onset']:g} ms", onset <= _AIMS["onset"]),
        (f"an open rate of at most {_AIMS['open']}", own["all"]["open_rate"] <= _AIMS["open"]),
        (f"{_AIMS['silence']} in silence", silence <= _AIMS["silence"]),
    ]
    lines = []
    for title, which in (("Reached", True), ("Not reached", False)):
        if named := [name for name, held in kept if held is which]:
            lines.append(f"**{title}:** {', '.join(named)}.")
    return "\n\n".join(lines)


def _hourly(one: Figures, *, alone: bool) -> float:
    """False events an hour: in noise and music without speech, or in all that holds speech."""
    empty = one["by"]["alone"]
    if alone:
        chosen = [empty[kind] for kind in ("noise", "music")]
        false = sum(c["events"]["false"] for c in chosen)
        seconds = sum(c["seconds"] for c in chosen)
    else:
        false = one["all"]["events"]["false"] - sum(c["events"]["false"] for c in empty.values())
        seconds = one["all"]["seconds"] - sum(c["seconds"] for c in empty.values())
    return float(3600.0 * false / seconds)


def _digits(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _minutes(figures: Figures) -> str:
    return f"{figures['seconds'] / 60.0:.0f}"


def _read(path: Path) -> Figures:
    try:
        found: Figures = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidConfig(f"no file {path}, expected what `surnn eval --json` wrote") from None
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m surnn.compare_page")
    parser.add_argument("data", type=Path)
    parser.add_argument("page", type=Path)
    given = parser.parse_args()
    write_page(given.data, given.page)


if __name__ == "__main__":
    main()
