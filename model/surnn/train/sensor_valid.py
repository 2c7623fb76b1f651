"""Held-out subjects for the activity task, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from surnn.answers import probabilities
from surnn.dataset.motion import Execution
from surnn.measures import class_f1, confusion
from surnn.nn import Network
from surnn.spec import ModelSpec
from surnn.train.task import Example, Report
from surnn.types import Float32, Int64

__all__ = ["SensorValidation"]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a network gave for one execution."""

    device: str
    truth: NDArray[np.uint8]
    """[T]"""
    probs: Float32
    """[T, C]"""
    gates: list[Float32]
    """Per layer [T, switches]."""


class SensorValidation:
    """Runs whole executions of held-out subjects, each from a fresh state."""

    def __init__(self, spec: ModelSpec, executions: Sequence[Execution]) -> None:
        self.spec = spec
        self.executions = executions

    def report(self, network: Network, *, final: bool = False) -> Report:
        """Measure a network; the score is the mean of accuracy and macro F1."""
        labels = self.spec.labels
        answers = self._run(network, by_row=False)
        table = self._confusion(answers)
        accuracy, f1 = _accuracy(table), class_f1(table)
        weights = np.array([layer.hidden for layer in self.spec.layers], np.float64)
        opened = np.concatenate([self._opened(a) for a in answers]) @ (weights / weights.sum())
        truth = np.concatenate([a.truth for a in answers])
        rate = float(opened.mean())
        groups = [self._group(d, [a for a in answers if a.device == d]) for d in ("phone", "watch")]
        by_row = self._run(network, by_row=True)
        groups.append(self._group("rows taken as evenly spaced", by_row))
        figures: dict[str, object] = {
            "main": {
                "frames": len(truth),
                "accuracy": accuracy,
                "macro_f1": float(f1.mean()),
                "open_rate": rate,
            },
            "labels": {
                name: {
                    "f1": float(f1[i]),
                    "recall": float(table[i, i] / max(int(table[i].sum()), 1)),
                    "open_rate": float(opened[truth == i].mean()),
                }
                for i, name in enumerate(labels)
            },
            "groups": groups,
            "confusion": table.tolist(),
        }
        report = Report(
            score=0.5 * (accuracy + float(f1.mean())) - max(0.0, rate - 0.25),
            summary=f"accuracy {accuracy:.4f} macro F1 {f1.mean():.4f} open {rate:.3f}",
            figures=figures,
        )
        if final:
            report.confusion = (labels, table)
            layers = range(len(self.spec.layers))
            report.neuron_rates = [
                np.concatenate([a.gates[i] for a in answers]).mean(axis=0) for i in layers
            ]
            report.example = self._example(self.executions[0], answers[0])
        return report

    @torch.no_grad()
    def _run(self, network: Network, *, by_row: bool) -> list[_Answer]:
        """All executions as one padded batch."""
        network.eval()
        pairs = [e.by_row if by_row else e.by_time for e in self.executions]
        lengths = [len(x) for x, _ in pairs]
        frames = np.zeros((len(pairs), max(lengths), self.spec.channels), np.float32)
        for i, (x, _) in enumerate(pairs):
            frames[i, : len(x)] = x
        state = network.initial_state(len(pairs))
        state["t"] = torch.arange(len(pairs), dtype=torch.int64) * 1_000_003
        output = network(torch.from_numpy(frames), torch.tensor(lengths), state)
        return [
            _Answer(
                device=execution.device,
                truth=y,
                probs=probabilities(output.logits[i, :n].numpy(), self.spec.head),
                gates=[g[i, :n].numpy() for g in output.gates],
            )
            for i, (execution, (_, y), n) in enumerate(
                zip(self.executions, pairs, lengths, strict=True)
            )
        ]

    def _confusion(self, answers: Sequence[_Answer]) -> Int64:
        truth = np.concatenate([a.truth for a in answers])
        found = np.concatenate([a.probs for a in answers]).argmax(axis=1)
        return confusion(truth, found, len(self.spec.labels))

    def _opened(self, answer: _Answer) -> Float32:
        """Share of open switches [T, L]."""
        return np.stack([g.mean(axis=1) for g in answer.gates], axis=1)

    def _group(self, name: str, answers: Sequence[_Answer]) -> dict[str, object]:
        table = self._confusion(answers)
        return {
            "group": name,
            "accuracy": _accuracy(table),
            "macro_f1": float(class_f1(table).mean()),
        }

    def _example(self, execution: Execution, answer: _Answer) -> Example:
        acceleration = np.linalg.norm(execution.by_time[0][:, :3], axis=1)
        return Example(
            title=f"Held-out subject, {execution.device}",
            frame_rate=self.spec.frame_rate,
            signal=acceleration.astype(np.float32),
            signal_unit="|a| (m/s²)",
            labels=self.spec.labels,
            truth=np.eye(len(self.spec.labels), dtype=np.float32)[answer.truth],
            probs=answer.probs,
            gates=answer.gates,
        )


def _accuracy(table: Int64) -> float:
    return float(np.trace(table) / max(int(table.sum()), 1))
