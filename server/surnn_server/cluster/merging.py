"""One answer from those of all members. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.utils import floatToGoString

__all__ = ["counters", "merge_metrics", "merge_reloads", "merge_sessions", "merge_statistics"]

_HIGHEST = frozenset(
    {
        "surnn_slots",
        "surnn_load_share",
        "surnn_turn_wait_seconds",
        "surnn_admitting",
        "surnn_model_info",
    }
)
"""Gauges of which the highest counts; of all others, and of counters, the sum."""


def merge_metrics(pages: Iterable[str]) -> str:
    """The members' pages for Prometheus, added up."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, dict[str, float]] = {}
    for page in pages:
        family = ""
        for line in page.splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
                head = heads.setdefault(family, [])
                if line not in head:
                    head.append(line)
                continue
            key, _, value = line.rpartition(" ")
            known = samples.setdefault(family, {})
            known[key] = _joined(family, known.get(key), float(value))
    lines: list[str] = []
    for family, head in heads.items():
        lines += head
        lines += [f"{key} {_text(v)}" for key, v in samples.get(family, {}).items()]
    return "\n".join(lines) + "\n"


def counters(page: str) -> str:
    """What only ever grows in a page: its counters and histograms."""
    kept: list[str] = []
    block: list[str] = []
    grows = False
    for line in [*page.splitlines(), "# HELP"]:
        if line.startswith("# HELP"):
            kept += block if grows else []
            block, grows = [], False
        elif line.startswith("# TYPE"):
            grows = line.endswith((" counter", " histogram"))
        block.append(line)
    return "".join(f"{line}\n" for line in kept)


def _text(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _joined(family: str, known: float | None, value: float) -> float:
    if known is None:
        return value
    if family.endswith("_created") or family == "surnn_start_time_seconds":
        return min(known, value)
    return max(known, value) if family in _HIGHEST else known + value


def merge_sessions(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All open streams, in order of their ids."""
    sessions = [session for answer in answers for session in answer["sessions"]]
    return {"sessions": sorted(sessions, key=lambda session: str(session["session"]))}


def merge_reloads(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What any member has loaded or refused."""
    loaded: dict[str, str] = {}
    refused: dict[str, str] = {}
    for answer in answers:
        loaded |= answer["loaded"]
        refused |= answer["refused"]
    return {"loaded": loaded, "refused": refused}


def merge_statistics(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Triton's statistics of models, added up."""
    models: dict[tuple[str, str], dict[str, Any]] = {}
    for answer in answers:
        for record in answer["model_stats"]:
            key = (record["name"], record["version"])
            models[key] = _added(models[key], record) if key in models else record
    return {"model_stats": list(models.values())}


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for name, value in one.items():
        if isinstance(value, Mapping):
            total[name] = _added(value, other[name])
        elif name == "last_inference":
            total[name] = max(value, other[name])
        else:
            total[name] = value + other[name] if isinstance(value, int) else value
    return total
