"""The last step of a voice model: calibrated on one half of what was held out, told of the other.

    python -m surnn.train.finish CONFIG --model DIR --valid FOLDER --test FOLDER [--latency S]

`DIR` is what `surnn train` wrote, the folders are what `surnn.train.held_out` wrote for the roles
`valid` and `test`. The head's scale and shift, the frame threshold and the event rule are chosen
on the first; then the model is exported anew, with its parity check, and measured on the second
beside the detectors that are installed. `metrics.json` and the card are written again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from surnn import checkpoint
from surnn.compare import compare, streams_of
from surnn.errors import InvalidConfig
from surnn.evaluate import listen
from surnn.export import export
from surnn.model import load
from surnn.nn import Network
from surnn.spec import Head
from surnn.train.card import rewrite_card
from surnn.tuning import choose_rule, choose_threshold
from surnn.types import Float32

__all__ = ["Calibration", "apply", "calibrate", "finish"]

_WAITS = (0.01, 0.02, 0.03, 0.04, 0.06)
"""Seconds for which the probability of an event must hold."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """logit → scale * logit + shift: what makes probabilities fit the shares of a set."""

    scale: float
    shift: float


def calibrate(probs: Float32, truth: NDArray[np.bool_], steps: int = 50) -> Calibration:
    """Scale and shift of the least cross entropy, by Newton's method.

    probs and truth [n]. Reference: Platt, "Probabilistic outputs for support vector machines",
    1999. Raises `InvalidConfig` where truth is of one kind only.
    """
    if truth.all() or not truth.any():
        raise InvalidConfig("calibration needs frames with the label and without, found one kind")
    p = np.clip(probs.astype(np.float64), 1e-7, 1.0 - 1e-7)
    x = np.stack([np.log(p / (1.0 - p)), np.ones(len(p))], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(steps):
        q = 1.0 / (1.0 + np.exp(-(x @ found)))
        gradient = x.T @ (q - truth)
        curvature = (x * (q * (1.0 - q))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        found -= step
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(float(found[0]), float(found[1]))


@torch.no_grad()
def apply(network: Network, calibration: Calibration) -> None:
    """Make it part of the head's weights. Raises `InvalidConfig` for a head of another kind."""
    if network.spec.head is not Head.SIGMOID or len(network.spec.labels) != 1:
        raise InvalidConfig(
            f"model {network.spec.name!r} has a {network.spec.head.value} head and "
            f"{len(network.spec.labels)} labels, expected 'sigmoid' and 1"
        )
    network.head.weight.mul_(calibration.scale)
    network.head.bias.mul_(calibration.scale).add_(calibration.shift)


def finish(config: Path, folder: Path, valid: Path, test: Path, latency: float = 0.1) -> Path:
    """Do what the module says; returns the card. `latency`: see `choose_rule`, seconds."""
    network = checkpoint.load(folder)
    heard = listen(load(folder), valid).heard
    probs = np.concatenate([h.probs[:, 0] for h in heard])
    truth = np.concatenate([h.truth.labels[:, 0] for h in heard])
    found = calibrate(probs, truth)
    apply(network, found)
    checkpoint.save(network, folder)
    export(network, folder)

    streams = streams_of(listen(load(folder), valid).heard)
    rule = choose_rule(network.spec, streams, min_on=_WAITS, latency=latency)
    threshold = choose_threshold(streams)
    network.spec = network.spec.model_copy(update={"threshold": threshold, "events": (rule,)})
    checkpoint.save(network, folder)
    export(network, folder)

    metrics = folder / "metrics.json"
    figures = json.loads(metrics.read_text(encoding="utf-8"))
    measured = compare(load(folder), test, tune=valid)
    figures["calibration"] = {"scale": found.scale, "shift": found.shift}
    figures["held_out"] = measured
    metrics.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return rewrite_card(config, folder)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m surnn.train.finish")
    parser.add_argument("config", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument(
        "--latency", type=float, default=0.1, help="Limit of the median delay of starts, seconds"
    )
    given = parser.parse_args()
    print(finish(given.config, given.model, given.valid, given.test, given.latency))


if __name__ == "__main__":
    main()
