"""Held-out recordings with any labels, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from surnn.answers import probabilities
from surnn.dataset.labelled import Truth
from surnn.measures import frame_figures, label_figures
from surnn.metrics import best_threshold
from surnn.nn import Network
from surnn.spec import Head, ModelKind, ModelSpec
from surnn.train.tapes import Reel
from surnn.train.task import Example, Report
from surnn.types import Float32, Int64

__all__ = ["FramesValidation"]

_BATCH = 16
_FRAMES = 1500
"""Run at once: states are carried on, so that long recordings take little memory."""
_EXAMPLE_SECONDS = 20.0


@dataclass(slots=True)
class _Answer:
    """What a network gave for one reel."""

    probs: Float32
    """[T, C]"""
    opened: Float32
    """Share of open neurons in all layers [T]."""


class FramesValidation:
    """Runs held-out recordings, each from a fresh state."""

    def __init__(self, spec: ModelSpec, reels: Sequence[Reel], minutes: float) -> None:
        self.spec = spec
        # Long recordings have much of the same: where there is too much, all are cut alike.
        frames = sum(len(r.truth.known) for r in reels)
        most = int(minutes * 60.0 * spec.frame_rate)
        share = min(1.0, most / max(frames, 1))
        self.reels = reels if share == 1.0 else [_cut(r, share, spec.hop) for r in reels]

    def report(self, network: Network, *, final: bool = False) -> Report:
        """Measure a network; the score is the mean of AUC and F1, less what is open over 0.3."""
        answers, rates = self._run(network)
        probs = np.concatenate([a.probs for a in answers])
        opened = np.concatenate([a.opened for a in answers])
        truth = Truth(
            np.concatenate([r.truth.labels for r in self.reels]),
            np.concatenate([r.truth.known for r in self.reels]),
        )
        known = truth.known
        each = {
            label: float(best_threshold(probs[known, i], truth.labels[known, i]))
            for i, label in enumerate(self.spec.labels)
        }
        threshold = 0.5
        if self.spec.head is Head.SIGMOID:
            threshold = best_threshold(probs[known].ravel(), truth.labels[known].ravel())
        spec = self.spec.model_copy(update={"threshold": threshold})
        main = frame_figures(spec, probs, truth)
        area = _known(main["auc"])
        f1 = _known(main["f1"])
        rate = float(opened.mean())
        figures: dict[str, object] = {
            "main": {k: v for k, v in main.items() if k != "confusion"} | {"open_rate": rate},
            "labels": label_figures(spec, probs, truth),
            "threshold": threshold,
        }
        report = Report(
            score=0.5 * (area + f1) - max(0.0, rate - 0.3),
            summary=f"AUC {area:.4f} F1 {f1:.4f} accuracy {_known(main['accuracy']):.4f} "
            f"open {rate:.3f}",
            figures=figures,
            threshold=threshold,
            thresholds=each,
        )
        if final:
            for i, label in enumerate(self.spec.labels):
                if truth.labels[known, i].any():
                    report.curves[label] = probs[known, i], truth.labels[known, i]
            report.neuron_rates = rates
            report.example = self._example(network)
            if "confusion" in main:
                report.confusion = self.spec.labels, np.array(main["confusion"])
        return report

    @torch.no_grad()
    def _run(self, network: Network) -> tuple[list[_Answer], list[Float32]]:
        """Answers of all reels, and how often each switch of each layer was open."""
        network.eval()
        answers: list[_Answer | None] = [None] * len(self.reels)
        sums = [np.zeros(layer.switches) for layer in self.spec.layers]
        total = 0
        order = sorted(range(len(self.reels)), key=lambda i: len(self.reels[i].truth.known))
        for first in range(0, len(order), _BATCH):
            group = order[first : first + _BATCH]
            lengths = np.array([len(self.reels[i].truth.known) for i in group])
            probs, opened = self._batch(network, group, lengths, sums)
            total += int(lengths.sum())
            for row, i in enumerate(group):
                n = int(lengths[row])
                answers[i] = _Answer(probs[row][:n], opened[row][:n])
        rates = [(s / max(total, 1)).astype(np.float32) for s in sums]
        return [a for a in answers if a is not None], rates

    def _batch(
        self, network: Network, group: Sequence[int], lengths: Int64, sums: list[np.ndarray]
    ) -> tuple[list[Float32], list[Float32]]:
        state = network.initial_state(len(group))
        # Some clock phases, the same ones each time.
        state["t"] = torch.arange(len(group), dtype=torch.int64) * 1_000_003
        hidden = np.array([layer.hidden for layer in self.spec.layers], np.float32)
        longest, logits, opened = int(lengths.max()), [], []
        ahead = self.spec.lookahead
        for start in range(0, longest, _FRAMES):
            count = min(_FRAMES, longest - start)
            frames = np.zeros((len(group), count, self.spec.frame_size), np.float32)
            for row, i in enumerate(group):
                piece = _frames(self.reels[i], self.spec, start, count)
                frames[row, : len(piece)] = piece
            left = torch.from_numpy(np.clip(lengths - start, 0, count))
            output = network(torch.from_numpy(frames), left, state)
            state = output.state
            logits.append(output.logits.numpy())
            layers = [g.mean(-1).numpy() for g in output.gates]
            opened.append(np.stack(layers, axis=-1) @ (hidden / hidden.sum()))
            for total, gate in zip(sums, output.gates, strict=True):
                total += gate.sum(dim=(0, 1)).numpy()
        whole = np.concatenate(logits, axis=1)
        rows = []
        for row, length in enumerate(lengths.tolist()):
            mine = whole[row, :length]
            # The last frames, whose answer lies behind the end, repeat the one before.
            mine = np.concatenate([mine[ahead:], mine[-1:].repeat(min(ahead, length), axis=0)])
            rows.append(probabilities(mine[:length], self.spec.head))
        return rows, list(np.concatenate(opened, axis=1))

    @torch.no_grad()
    def _example(self, network: Network) -> Example:
        """The stretch of a held-out recording in which most labels begin."""
        most = int(_EXAMPLE_SECONDS * self.spec.frame_rate)
        reel, start = max(
            ((r, s) for r in self.reels for s in range(0, len(r.truth.known), most)),
            key=lambda pair: _changes(pair[0], pair[1], most),
        )
        count = min(most, len(reel.truth.known) - start)
        frames = _frames(reel, self.spec, start, count)
        output = network(torch.from_numpy(frames[None]))
        ahead, logits = self.spec.lookahead, output.logits[0].numpy()
        logits = np.concatenate([logits[ahead:], logits[-1:].repeat(min(ahead, count), axis=0)])
        audio = self.spec.kind is ModelKind.AUDIO
        signal = frames.reshape(-1) if audio else frames[:, 0]
        return Example(
            title=f"{reel.name} from {start / self.spec.frame_rate:.0f} s (held out)",
            frame_rate=self.spec.frame_rate,
            signal=signal,
            signal_unit="amplitude" if audio else "first channel",
            labels=self.spec.labels,
            truth=reel.truth.labels[start : start + count].astype(np.float32),
            probs=probabilities(logits[:count], self.spec.head),
            gates=[g[0].numpy() for g in output.gates],
        )


def _frames(reel: Reel, spec: ModelSpec, start: int, count: int) -> Float32:
    """Frames [at most count, S] of a reel."""
    piece = reel.samples[start * spec.hop : (start + count) * spec.hop]
    frames = piece.astype(np.float32)
    if piece.dtype == np.int16:
        frames /= 32768.0
    usable = len(frames) // spec.hop
    return frames[: usable * spec.hop].reshape(usable, spec.frame_size)


def _cut(reel: Reel, share: float, hop: int) -> Reel:
    count = max(1, int(share * len(reel.truth.known)))
    truth = Truth(reel.truth.labels[:count], reel.truth.known[:count])
    return Reel(reel.name, reel.samples[: count * hop], truth)


def _changes(reel: Reel, start: int, count: int) -> int:
    labels = reel.truth.labels[start : start + count].astype(np.int8)
    starts = (np.diff(labels, axis=0) > 0).sum(axis=0)
    return int(10 * (starts > 0).sum() + min(int(starts.sum()), 30))


def _known(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
