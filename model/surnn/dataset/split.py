"""Which recordings to learn from, which to choose by, which to report on: whole groups each.

A group is a speaker, a subject, a place, a day: whatever two recordings may share that a model
could recognise instead of what it should.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

import numpy as np

from surnn.dataset.labelled import Labelled
from surnn.dataset.options import SplitRule
from surnn.errors import InvalidInput
from surnn.segments import read_rows

__all__ = ["GROUPS", "Part", "Split", "group_names", "split"]

GROUPS = "groups.csv"
"""file,group: who or what each recording belongs to."""
_TRIES = 500


class Part(StrEnum):
    """What recordings are used for."""

    TRAIN = "train"
    """Weights are learnt from them."""
    VALID = "valid"
    """The checkpoint and the thresholds are chosen on them."""
    TEST = "test"
    """Measured once, when everything is chosen."""


@dataclass(frozen=True, slots=True)
class Split:
    """The part and the group of every recording."""

    rule: str
    """In words, for reports."""
    parts: dict[str, Part]
    """By the name of the recording."""
    groups: dict[str, str]

    def of(self, part: Part) -> set[str]:
        """Names of the recordings in a part."""
        return {name for name, found in self.parts.items() if found is part}

    def rows(self, recordings: Sequence[Labelled]) -> list[dict[str, object]]:
        """One row for each recording: for reports, and to find the parts again."""
        return [
            {
                "file": r.name,
                "group": self.groups[r.name],
                "part": self.parts[r.name].value,
                "seconds": round(r.seconds, 3),
            }
            for r in recordings
        ]


def group_names(folder: Path, recordings: Sequence[Labelled], rule: SplitRule) -> dict[str, str]:
    """The group of each recording. Raises `InvalidInput` for one that has none."""
    if rule.by == "file" and not rule.ignore_groups:
        clips = [r for r in recordings if any(not s.line for s in r.segments)]
        if clips:
            raise InvalidInput(
                f"{folder}: split.by = 'file', but {clips[0].name!r} is a clip in a folder of its "
                "label: clips of one speaker or place would stand on both sides; name their groups "
                f"by {GROUPS} or split.pattern, or set split.ignore_groups = true"
            )
    if rule.ignore_groups or rule.by == "file":
        return {r.name: r.name for r in recordings}
    if rule.pattern is not None:
        return {r.name: _matched(r, rule.pattern) for r in recordings}
    if rule.by == "folder":
        return {r.name: PurePosixPath(r.name).parent.as_posix() for r in recordings}
    if rule.by != "group" or not (folder / GROUPS).is_file():
        return {r.name: _field(r, rule.by, folder) for r in recordings}
    table = {row["file"]: row["group"] for _, row in read_rows(folder / GROUPS, ("file", "group"))}
    for r in recordings:
        if not table.get(r.name):
            raise InvalidInput(f"{folder / GROUPS}: no group for {r.name!r}, expected one")
    return {r.name: table[r.name] for r in recordings}


def split(folder: Path, recordings: Sequence[Labelled], rule: SplitRule, seed: int) -> Split:
    """Give every recording a part.

    Of many random divisions the one is taken whose parts come closest to their shares among those
    in which every part holds every label; the seed decides which are tried.

    Raises `InvalidInput` when a recording has no group, when there are too few groups, or when a
    label is in too few of them.
    """
    groups = group_names(folder, recordings, rule)
    names = sorted(set(groups.values()))
    seconds = {n: sum(r.seconds for r in recordings if groups[r.name] == n) for n in names}
    labels = {
        n: {s.label for r in recordings if groups[r.name] == n for s in r.segments} for n in names
    }
    needed = 2 + (rule.test != 0)
    if len(names) < needed:
        what = "file" if rule.ignore_groups or rule.by == "file" else "group"
        raise InvalidInput(
            f"{folder}: {len(names)} {what} ({', '.join(names)}), expected at least {needed} to "
            "keep some apart: name groups by split.by, split.pattern or groups.csv, or set "
            "split.test = 0; split.ignore_groups = true divides by file, and then nobody knows "
            "how well the model does on others"
        )
    for label in sorted(set().union(*labels.values())):
        holders = [n for n in names if label in labels[n]]
        if len(holders) < needed:
            raise InvalidInput(
                f"{folder}: label {label!r} is in {len(holders)} of {len(names)} groups "
                f"({', '.join(holders)}), expected at least {needed}: it could not be both "
                "learnt and measured"
            )
    parts = _divided(folder, names, seconds, labels, rule, seed)
    return Split(_words(rule), {r.name: parts[groups[r.name]] for r in recordings}, groups)


def _divided(
    folder: Path,
    names: Sequence[str],
    seconds: Mapping[str, float],
    labels: Mapping[str, set[str]],
    rule: SplitRule,
    seed: int,
) -> dict[str, Part]:
    fixed: dict[str, Part] = {}
    shares: dict[Part, float] = {}
    for part, wish in ((Part.VALID, rule.valid), (Part.TEST, rule.test)):
        if isinstance(wish, tuple):
            if unknown := sorted(set(wish) - set(names)):
                raise InvalidInput(
                    f"{folder}: split.{part.value} names {unknown}, but groups are {list(names)}"
                )
            fixed |= dict.fromkeys(wish, part)
        elif wish:
            shares[part] = wish
    rng = np.random.default_rng([seed, 2])
    every, total = set().union(*labels.values()), sum(seconds.values())
    best: tuple[float, dict[str, Part]] | None = None
    free = [n for n in names if n not in fixed]
    for _ in range(_TRIES):
        parts = dict.fromkeys(names, Part.TRAIN) | fixed
        order = [free[i] for i in rng.permutation(len(free))]
        for part, share in shares.items():
            held = 0.0
            while order and held < 0.75 * share * total:
                name = order.pop()
                parts[name] = part
                held += seconds[name]
        cost = 0.0
        for part in (Part.TRAIN, *shares, *fixed.values()):
            inside = [n for n in names if parts[n] is part]
            missing = every - set().union(*(labels[n] for n in inside))
            cost += 100.0 * len(missing) + (1000.0 if not inside else 0.0)
            if part in shares:
                cost += abs(sum(seconds[n] for n in inside) / total - shares[part])
        if best is None or cost < best[0]:
            best = cost, parts
    assert best is not None
    if best[0] >= 100.0:
        raise InvalidInput(
            f"{folder}: no division of {len(names)} groups leaves every label in every part, "
            "expected more groups, or split.valid and split.test as lists of groups that do"
        )
    return best[1]


def _matched(recording: Labelled, pattern: str) -> str:
    found = re.search(pattern, recording.name)
    if found is None or not found[1]:
        raise InvalidInput(
            f"{recording.path}: split.pattern {pattern!r} finds no group in {recording.name!r}"
        )
    return found[1]


def _field(recording: Labelled, column: str, folder: Path) -> str:
    value = recording.fields.get(column)
    if value:
        return value
    if column == "group":
        raise InvalidInput(
            f"{folder}: nothing says who or what {recording.name!r} belongs to, expected "
            f"{GROUPS} (file,group), split.by = a column, 'folder' or 'file', or split.pattern; "
            "without groups the same voice or place stands on both sides, and figures flatter"
        )
    raise InvalidInput(
        f"{recording.source}: no single {column!r} for {recording.name!r}, expected one in every "
        f"row of it (columns are {sorted(recording.fields) or 'none'})"
    )


def _words(rule: SplitRule) -> str:
    if rule.ignore_groups:
        return "file, whoever is in it (split.ignore_groups): figures flatter"
    if rule.pattern is not None:
        return f"group in the file's name ({rule.pattern})"
    return GROUPS if rule.by == "group" else rule.by
