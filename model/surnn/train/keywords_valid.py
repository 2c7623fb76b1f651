"""Held-out words and long material without any, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from surnn.answers import probabilities
from surnn.events import sliding_mean, smoothing_share
from surnn.measures import confusion
from surnn.nn import Network
from surnn.segments import Segment, frame_labels
from surnn.spec import ModelSpec
from surnn.train.config_data import WordsConfig
from surnn.train.task import Example, Report
from surnn.train.word_items import WordSources
from surnn.train.word_mix import Planted
from surnn.train.word_streams import SEEDS, held_out_streams
from surnn.types import Float32

__all__ = ["KeywordsValidation"]

_BATCH = 32
_THRESHOLDS = np.round(np.arange(0.1, 0.991, 0.01), 2)
_HOLDS = (0.04, 0.08, 0.12, 0.16, 0.2)
"""Seconds for which a word may have to hold its probability to be an event."""
_SMOOTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Or seconds over which it may be averaged instead."""
_RATES = (1.0, 2.0, 4.0)
"""Times the false events that are allowed, at which rules are compared: a single false event more
or less would otherwise choose among them."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """When a word becomes an event."""

    hold: int
    """Frames in a row."""
    smooth: float = 0.0
    """Seconds of the sliding mean."""
    threshold: float = 0.5


@dataclass(slots=True)
class _Part:
    """Streams of one role, each length by itself."""

    words: list[Planted]
    truth: np.ndarray
    """Label of each stream with a word [N]; the background for words that are no label."""
    empty: list[Planted]


@dataclass(slots=True)
class _Heard:
    words: list[Float32]
    """[T, C] each"""
    empty: list[Float32]
    opened: list[float]
    rates: list[Float32]


class KeywordsValidation:
    """Runs a network over streams that are always the same."""

    def __init__(
        self,
        spec: ModelSpec,
        config: WordsConfig,
        background: str,
        sources: Mapping[str, WordSources],
    ) -> None:
        self.spec = spec
        self.config = config
        self.column = spec.labels.index(background)
        self.parts = {
            role: _part(held_out_streams(found, spec, SEEDS[role]), spec, self.column)
            for role, found in sources.items()
        }

    def report(self, network: Network, *, final: bool = False) -> Report:
        """The score is the mean accuracy at thresholds that give few enough false alarms.

        A few rates of them count, the allowed one first: at that one alone, a single false event
        more or less would choose among networks. How long a word must hold, or over what time it
        is averaged, is chosen with it. In the end the rule is used once on what neither training
        nor choosing saw.
        """
        part = self.parts["valid"]
        heard = self._run(network, part)
        score, rule = self._chosen(part, heard)
        figures = self._figures(part, heard, rule)
        main = figures["main"]
        assert isinstance(main, dict)
        accuracy, rate = float(main["accuracy"]), float(main["open_rate"])
        report = Report(
            score=score - max(0.0, rate - 0.3),
            summary=f"accuracy {accuracy:.4f} at {rule.threshold:.2f}, "
            f"{main['false_per_hour']:.1f} false an hour, open {rate:.3f}",
            figures=figures,
            threshold=rule.threshold,
        )
        if final:
            test = self.parts.get("test")
            if test is not None and test.words:
                figures["test"] = self._figures(test, self._run(network, test), rule)
            table = np.array(figures["confusion"])
            report.confusion = (self.spec.labels, table)
            report.neuron_rates = heard.rates
            report.example = self._example(network, part)
        return report

    def _chosen(self, part: _Part, heard: _Heard) -> tuple[float, _Rule]:
        """The best mean accuracy at some rates of false events, and its rule with the threshold
        of the allowed one."""
        rules = [_Rule(max(1, round(s * self.spec.frame_rate))) for s in _HOLDS]
        rules += [_Rule(1, s) for s in _SMOOTHS]
        hours = sum(len(p) for p in heard.empty) / self.spec.frame_rate / 3600.0
        allowed = self.config.false_per_hour * hours
        best: tuple[float, _Rule] | None = None
        for rule in rules:
            alarms = self._alarms(heard.empty, rule)
            scores = [self._score(p, rule) for p in heard.words]
            found = []
            for times in _RATES:
                few = [t for t in _THRESHOLDS if (alarms >= t).sum() <= times * allowed]
                threshold = float(few[0] if few else _THRESHOLDS[-1])
                called = np.array([c if s >= threshold else self.column for c, s in scores])
                found.append((float((called == part.truth).mean()), threshold))
            accuracy = float(np.mean([a for a, _ in found]))
            if best is None or accuracy > best[0]:
                best = accuracy, replace(rule, threshold=found[0][1])
        assert best is not None
        return best

    def _figures(self, part: _Part, heard: _Heard, rule: _Rule) -> dict[str, object]:
        spec, threshold = self.spec, rule.threshold
        scores = [self._score(p, rule) for p in heard.words]
        called = np.array([c if s >= threshold else self.column for c, s in scores])
        # Some word, however unsure.
        best = np.array([c for c, _ in scores])
        table = confusion(part.truth, called, len(spec.labels))
        alarms = self._alarms(heard.empty, rule)
        groups: list[dict[str, object]] = []
        for name in dict.fromkeys(s.group for s in part.words):
            rows = np.array([s.group == name for s in part.words])
            right = called[rows] == part.truth[rows]
            words = rows & (part.truth != self.column)
            closed = (best == part.truth)[words]
            groups.append(
                {
                    "group": name,
                    "streams": int(rows.sum()),
                    "accuracy": right.mean(),
                    "closed_set_accuracy": closed.mean() if len(closed) else None,
                }
            )
        for name in dict.fromkeys(s.group for s in part.empty):
            chosen = [p for p, s in zip(heard.empty, part.empty, strict=True) if s.group == name]
            hours = sum(map(len, chosen)) / spec.frame_rate / 3600.0
            count = int((self._alarms(chosen, rule) >= threshold).sum())
            groups.append(
                {"group": name, "hours": hours, "false": count, "false_per_hour": count / hours}
            )
        hours = sum(map(len, heard.empty)) / spec.frame_rate / 3600.0
        false = int((alarms >= threshold).sum())
        words = part.truth != self.column
        return {
            "main": {
                "streams": len(part.words),
                "accuracy": float((called == part.truth).mean()) if len(called) else 0.0,
                "keyword_accuracy": float((called == part.truth)[words].mean()),
                "closed_set_accuracy": float((best == part.truth)[words].mean()),
                "false": false,
                "hours_without_words": hours,
                "false_per_hour": false / hours if hours else 0.0,
                "open_rate": float(np.mean(heard.opened)),
            },
            "threshold": threshold,
            "hold_seconds": rule.hold / spec.frame_rate,
            "smooth_seconds": rule.smooth,
            "thresholds": [
                self._at(part, scores, alarms, hours, float(t)) for t in np.arange(2, 10) / 10
            ],
            "labels": {
                name: {"recall": float(table[i, i] / max(table[i].sum(), 1))}
                for i, name in enumerate(spec.labels)
            },
            "groups": [{k: _plain(v) for k, v in g.items()} for g in groups],
            "confusion": table.tolist(),
        }

    def _at(
        self,
        part: _Part,
        scores: Sequence[tuple[int, float]],
        alarms: np.ndarray,
        hours: float,
        threshold: float,
    ) -> dict[str, float]:
        """What another threshold would give."""
        called = np.array([c if s >= threshold else self.column for c, s in scores])
        right, words = called == part.truth, part.truth != self.column
        return {
            "threshold": threshold,
            "accuracy": float(right.mean()),
            "keyword_accuracy": float(right[words].mean()),
            "false_per_hour": float((alarms >= threshold).sum() / hours) if hours else 0.0,
        }

    def _score(self, probs: Float32, rule: _Rule) -> tuple[int, float]:
        """The word of a stream that is surest by a rule, and how sure it is."""
        kept = self._kept(probs, rule)
        if not len(kept):
            return self.column, 0.0
        each = kept.max(axis=0)
        best = int(each.argmax())
        return best + (best >= self.column), float(each[best])

    def _kept(self, probs: Float32, rule: _Rule) -> np.ndarray:
        """Of the words, what the rule compares with its threshold, frame by frame."""
        words: np.ndarray = np.delete(probs, self.column, axis=1)
        if rule.smooth:
            share = smoothing_share(rule.smooth, self.spec.frame_rate)
            columns = words.shape[1]
            words = sliding_mean(words, np.full(columns, share), np.zeros(columns))
        if len(words) < rule.hold:
            return words[:0]
        windows = [words[i : len(words) - rule.hold + 1 + i] for i in range(rule.hold)]
        kept: np.ndarray = np.minimum.reduce(windows)
        return kept

    def _alarms(self, streams: Sequence[Float32], rule: _Rule) -> np.ndarray:
        """Scores of the events that streams without words bring at any threshold.

        Peaks of what the rule looks at, at least the refractory time apart.
        """
        apart = self.spec.events[0].min_off + 2.0 * rule.smooth
        gap = max(1, round(apart * self.spec.frame_rate))
        found: list[float] = []
        for probs in streams:
            kept = self._kept(probs, rule).max(axis=1)
            while len(kept):
                at = int(kept.argmax())
                if kept[at] < _THRESHOLDS[0]:
                    break
                found.append(float(kept[at]))
                kept = np.concatenate([kept[: max(0, at - gap)], kept[at + gap :]])
        return np.array(found)

    @torch.no_grad()
    def _run(self, network: Network, part: _Part) -> _Heard:
        network.eval()
        heard = _Heard([], [], [], [np.zeros(s.switches, np.float32) for s in self.spec.layers])
        hidden = np.array([layer.hidden for layer in self.spec.layers], np.float32)
        total = 0
        for streams, out in ((part.words, heard.words), (part.empty, heard.empty)):
            order = sorted(range(len(streams)), key=lambda i: len(streams[i].samples))
            answers: dict[int, Float32] = {}
            for first in range(0, len(order), _BATCH):
                group = order[first : first + _BATCH]
                lengths = [len(streams[i].samples) // self.spec.hop for i in group]
                frames = np.zeros((len(group), max(lengths), self.spec.hop), np.float32)
                for row, i in enumerate(group):
                    flat = streams[i].samples[: lengths[row] * self.spec.hop]
                    frames[row, : lengths[row]] = flat.reshape(-1, self.spec.hop)
                state = network.initial_state(len(group))
                state["t"] = torch.arange(len(group), dtype=torch.int64) * 1_000_003
                output = network(torch.from_numpy(frames), torch.tensor(lengths), state)
                for row, i in enumerate(group):
                    logits = output.logits[row, : lengths[row]].numpy()
                    answers[i] = probabilities(logits, self.spec.head)
                layers = [g.sum(dim=(0, 1)).numpy() for g in output.gates]
                shares = [layer.mean() / sum(lengths) for layer in layers]
                heard.opened += [float(np.dot(shares, hidden / hidden.sum()))] * len(group)
                total += sum(lengths)
                for rates, layer in zip(heard.rates, layers, strict=True):
                    rates += layer
            out += [answers[i] for i in range(len(streams))]
        for rates in heard.rates:
            rates /= max(total, 1)
        return heard

    @torch.no_grad()
    def _example(self, network: Network, part: _Part) -> Example:
        """Some words, one after another."""
        some = part.words[:: max(1, len(part.words) // 8)][:8]
        samples = np.concatenate([s.samples for s in some])
        frames = torch.from_numpy(
            samples[: len(samples) // self.spec.hop * self.spec.hop].reshape(1, -1, self.spec.hop)
        )
        output = network(frames)
        truth = np.zeros((frames.shape[1], len(self.spec.labels)), np.float32)
        offset = 0.0
        for s in some:
            for word in s.words:
                moved = [Segment(word.start + offset, word.end + offset, word.label)]
                column = self.spec.labels.index(word.label)
                truth[:, column] += frame_labels(
                    moved, word.label, len(truth), self.spec.frame_rate
                )
            offset += len(s.samples) / self.spec.sample_rate
        return Example(
            title="Words of held-out speakers",
            frame_rate=self.spec.frame_rate,
            signal=frames.reshape(-1).numpy(),
            signal_unit="amplitude",
            labels=self.spec.labels,
            truth=truth,
            probs=probabilities(output.logits[0].numpy(), self.spec.head),
            gates=[g[0].numpy() for g in output.gates],
        )


def _part(streams: Sequence[Planted], spec: ModelSpec, column: int) -> _Part:
    words = [s for s in streams if s.group.startswith("words")]
    truth = [spec.labels.index(s.words[0].label) if s.words else column for s in words]
    empty = [s for s in streams if not s.group.startswith("words")]
    return _Part(words, np.array(truth, np.int64), empty)


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
