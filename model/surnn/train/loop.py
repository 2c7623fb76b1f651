"""The training loop: the same for every task."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from surnn.errors import SurnnError
from surnn.nn import Network, switch_parameters
from surnn.train.config import Config, Optimiser
from surnn.train.losses import total_loss
from surnn.train.task import Batch, Report, Task

__all__ = ["Fit", "History", "fit", "learning_rate"]

_AHEAD = 4
"""Batches that are made while the network is busy."""


@dataclass(slots=True)
class History:
    """What happened on the way."""

    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    open_rate: list[float] = field(default_factory=list)
    valid_steps: list[int] = field(default_factory=list)
    valid_score: list[float] = field(default_factory=list)
    seconds: float = 0.0
    clips: int = 0


@dataclass(slots=True)
class Fit:
    """The best network of a run, by its score on held-out data."""

    network: Network
    report: Report
    history: History


def learning_rate(progress: float, config: Optimiser) -> float:
    """The learning rate as a share of its peak, at `progress` in 0...1 of the budget."""
    if progress < config.warmup:
        return 0.05 + 0.95 * progress / config.warmup
    fallen = min(1.0, (progress - config.warmup) / max(1.0 - config.warmup, 1e-9))
    return config.final_lr + (1.0 - config.final_lr) * 0.5 * (1.0 + math.cos(math.pi * fallen))


def fit(
    task: Task,
    config: Config,
    *,
    progress: bool = True,
    keep: Callable[[Network, Report], None] | None = None,
) -> Fit:
    """Train a network for the task until the budget of time or steps is spent.

    `keep` is given each network that is the best so far. Raises `SurnnError` when the loss is no
    longer a number.
    """
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.budget.threads)
    network = Network(task.spec)
    mean = copy.deepcopy(network).requires_grad_(requires_grad=False)
    optimiser = _optimiser(network, config.optimiser)
    random = torch.Generator().manual_seed(config.seed)
    history, best, state = History(), None, network.initial_state(config.budget.batch)
    budget, console = config.budget, Console(stderr=True, quiet=not progress)
    limit, began, stale = budget.minutes * 60.0, time.monotonic(), 0
    with _bar(console, progress) as bar, ThreadPoolExecutor(1) as worker:
        line = bar.add_task("train", total=1.0, note="")
        for step, batch in enumerate(_batches(task, worker, budget.steps)):
            seconds = time.monotonic() - began
            if seconds >= limit:
                break
            # As long as steps are ahead of the clock, the schedule does not depend on the clock.
            done = max((step + 1) / budget.steps, seconds / limit)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * learning_rate(done, config.optimiser)
            loss, rate, state = _step(network, batch, optimiser, config, random, state)
            if not math.isfinite(loss):
                raise SurnnError(
                    f"loss is {loss} at step {step + 1}, expected a finite number: "
                    "lower optimiser.lr or loss weights"
                )
            _average(mean, network, config.optimiser.average, step)
            history.loss.append(loss)
            history.open_rate.append(rate)
            history.steps.append(step + 1)
            history.clips += len(batch.frames)
            recent = sum(history.loss[-50:]) / len(history.loss[-50:])
            score = f" valid {best[1].score:.4f}" if best else ""
            note = f"step {step + 1} loss {recent:.3f} open {rate:.2f}{score}"
            bar.update(line, completed=done, note=note)
            if (step + 1) % budget.validate_steps == 0 and step + 1 < budget.steps:
                report = task.validate(mean)
                best = _better(best, mean, report, keep)
                history.valid_steps.append(step + 1)
                history.valid_score.append(report.score)
                stale = 0 if best[1] is report else stale + 1
                if budget.patience and stale >= budget.patience:
                    console.print(f"no better for {stale} validations: stopped", highlight=False)
                    break
                minutes = (time.monotonic() - began) / 60.0
                console.print(f"{minutes:5.1f} min  {note}  {report.summary}", highlight=False)
        bar.update(line, completed=1.0)
    report = task.validate(mean)
    best = _better(best, mean, report, keep)
    history.valid_steps.append(len(history.steps))
    history.valid_score.append(report.score)
    history.seconds = time.monotonic() - began
    return Fit(best[0], best[1], history)


def _step(
    network: Network,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    config: Config,
    random: torch.Generator,
    before: dict[str, Tensor],
) -> tuple[float, float, dict[str, Tensor]]:
    """One update. Returns the cross entropy, the mean open rate of the neurons and the states.

    before: the states behind the last batch. A served session may start at any frame number, and
    has mostly heard something long ago: so it is with training clips.
    """
    state = network.initial_state(len(batch.frames))
    carried = torch.rand(len(batch.frames), generator=random) < config.budget.carry_state
    for name in state:
        if name not in ("t", "context"):
            state[name] = torch.where(
                carried.view(-1, *[1] * (state[name].ndim - 1)), before[name], state[name]
            )
    state["t"] = torch.randint(0, 2**31, state["t"].shape, generator=random)
    output = network(batch.frames, state=state)
    loss, entropy = total_loss(output, batch, network.spec.head, config.loss)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip_norm)
    optimiser.step()
    layers = network.spec.layers
    opened = sum(
        float(g.detach().mean()) * s.hidden for g, s in zip(output.gates, layers, strict=True)
    )
    after = {name: value.detach() for name, value in output.state.items()}
    return float(entropy.detach()), opened / network.spec.neurons, after


def _optimiser(network: Network, config: Optimiser) -> torch.optim.AdamW:
    switches = switch_parameters(network)
    ids = {id(p) for p in switches}
    rest = [p for p in network.parameters() if id(p) not in ids]
    groups = [
        {"params": rest, "peak": config.lr, "weight_decay": config.weight_decay},
        {"params": switches, "peak": config.switch_lr, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr)


@torch.no_grad()
def _average(mean: Network, network: Network, decay: float, step: int) -> None:
    """Move the running mean of the weights towards the weights; fast in the beginning."""
    share = 1.0 - min(decay, (1.0 + step) / (10.0 + step)) if decay else 1.0
    for average, current in zip(mean.parameters(), network.parameters(), strict=True):
        average.lerp_(current, share)


def _better(
    best: tuple[Network, Report] | None,
    network: Network,
    report: Report,
    keep: Callable[[Network, Report], None] | None,
) -> tuple[Network, Report]:
    if best is not None and best[1].score >= report.score:
        return best
    best = copy.deepcopy(network), report
    if keep is not None:
        keep(*best)
    return best


def _batches(task: Task, worker: ThreadPoolExecutor, count: int) -> Iterator[Batch]:
    """Batches 0, 1, 2, ... made ahead of their use by one worker."""
    waiting: list[Future[Batch]] = []
    asked = 0
    try:
        while True:
            while asked < count and len(waiting) < _AHEAD:
                waiting.append(worker.submit(task.batch, asked))
                asked += 1
            if not waiting:
                return
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()


def _bar(console: Console, progress: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not progress,
    )
