"""The training loop: the same for every task."""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from surnn.errors import InvalidConfig, SurnnError
from surnn.nn import Network, switch_parameters
from surnn.nn.cells.sugru import SuGRU
from surnn.train.config import Optimiser, Training
from surnn.train.losses import total_loss
from surnn.train.resume import read_run, write_run
from surnn.train.scalars import Scalars
from surnn.train.start import start_from
from surnn.train.switching import prepare_switches, switch_health
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
    config: Training,
    *,
    progress: bool = True,
    keep: Callable[[Network, Report], None] | None = None,
    resume: Path | None = None,
    start: Path | None = None,
    scalars: Scalars | None = None,
) -> Fit:
    """Train a network for the task until the budget of time or steps is spent.

    `keep` is given each network that is the best so far. `resume` names a file: where it exists the
    run goes on from it, and it is written at each validation. A run that was cut off and resumed
    ends with the weights of one that was not, as long as its steps are ahead of the clock.
    `start` is the folder of a trained model whose weights a new run begins with, `scalars` is given
    the curves.

    Raises `SurnnError` when the loss is no longer a number, `InvalidConfig` when the file belongs
    to another run or there is no such device.
    """
    run = _Run(task, config, Console(stderr=True, quiet=not progress), keep, start, scalars)
    if resume is not None and resume.exists():
        run.go_on(read_run(resume, config))
    budget, history = config.budget, run.history
    with _bar(run.console, progress) as bar, ThreadPoolExecutor(1) as worker:
        line = bar.add_task("train", total=1.0, note="")
        for step, batch in _batches(task, worker, len(history.steps), budget.steps):
            done = run.progress(step)
            if run.seconds >= budget.minutes * 60.0:
                break
            run.step(step, batch, done)
            bar.update(line, completed=done, note=run.note)
            if (step + 1) % budget.validate_steps == 0 and step + 1 < budget.steps:
                run.validate()
                if resume is not None:
                    write_run(resume, config, run.contents())
                if budget.patience and run.stale >= budget.patience:
                    run.console.print(
                        f"no better for {run.stale} validations: stopped", highlight=False
                    )
                    break
        bar.update(line, completed=1.0)
    return run.finish()


class _Run:
    """Everything that changes while a network is trained."""

    def __init__(
        self,
        task: Task,
        config: Training,
        console: Console,
        keep: Callable[[Network, Report], None] | None,
        start: Path | None = None,
        scalars: Scalars | None = None,
    ) -> None:
        self.task, self.config, self.console, self.keep = task, config, console, keep
        self.scalars = scalars
        self.device = _device(config.budget.device)
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.budget.threads)
        self.network = Network(task.spec)
        if config.optimiser.orthogonal:
            _orthogonal(self.network)
        if start is not None:
            start_from(self.network, start)
        prepare_switches(self.network, config.switches)
        if config.budget.compiled and find_spec("numba") is not None:
            for layer in self.network.stack:
                if isinstance(layer.cell, SuGRU):
                    layer.cell.compiled = True
        self.network.to(self.device)
        self.mean = copy.deepcopy(self.network).requires_grad_(requires_grad=False)
        self.optimiser = _optimiser(self.network, config.optimiser)
        self.random = torch.Generator().manual_seed(config.seed)
        self.state = self.network.initial_state(config.budget.batch)
        self.history = History()
        self.best: tuple[Network, Report] | None = None
        self.seconds_before = 0.0
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent, in earlier parts of the run too."""
        return self.seconds_before + time.monotonic() - self.began

    @property
    def stale(self) -> int:
        """Validations since the best one."""
        scores = self.history.valid_score
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    @property
    def note(self) -> str:
        """Where the run stands, in a few words."""
        loss, rate = self.history.loss, self.history.open_rate
        score = f" valid {self.best[1].score:.4f}" if self.best else ""
        recent = sum(loss[-50:]) / len(loss[-50:])
        return f"step {len(loss)} loss {recent:.4f} open {rate[-1]:.2f}{score}"

    def progress(self, step: int) -> float:
        """Share of the budget that is spent once this step is done.

        As long as steps are ahead of the clock, the schedule does not depend on the clock.
        """
        budget = self.config.budget
        return max((step + 1) / budget.steps, self.seconds / (budget.minutes * 60.0))

    def step(self, step: int, batch: Batch, done: float) -> None:
        """One update of the weights and of their running mean."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * learning_rate(done, self.config.optimiser)
        loss, rate = self._update(batch.to(self.device), done)
        if not math.isfinite(loss):
            raise SurnnError(
                f"loss is {loss} at step {step + 1}, expected a finite number: "
                "lower optimiser.lr or loss weights"
            )
        _average(self.mean, self.network, self.config.optimiser.average, step)
        self.history.loss.append(loss)
        self.history.open_rate.append(rate)
        self.history.steps.append(step + 1)
        self.history.clips += len(batch.frames)
        if self.scalars is not None:
            rate_now = float(self.optimiser.param_groups[0]["lr"])
            self.scalars.step(step + 1, loss, rate, rate_now)

    def _update(self, batch: Batch, done: float) -> tuple[float, float]:
        """Cross entropy and mean open rate of the neurons of one update."""
        network, config = self.network, self.config
        state = self._begin(len(batch.frames))
        mixed = config.budget.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            output = network(batch.frames, state=state)
            loss, entropy = total_loss(output, batch, network.spec.head, config.loss, done)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip_norm)
        self.optimiser.step()
        self.state = {name: value.detach() for name, value in output.state.items()}
        layers = network.spec.layers
        opened = sum(
            float(g.detach().mean()) * s.hidden for g, s in zip(output.gates, layers, strict=True)
        )
        return float(entropy.detach()), opened / network.spec.neurons

    def _begin(self, batch: int) -> dict[str, Tensor]:
        """States in which clips begin.

        A served session may start at any frame number, and has mostly heard something long ago: so
        it is with training clips, some of which go on from the states behind the last batch.
        """
        state = self.network.initial_state(batch)
        carried = torch.rand(batch, generator=self.random) < self.config.budget.carry_state
        for name in state:
            if name not in ("t", "context"):
                where = carried.view(-1, *[1] * (state[name].ndim - 1)).to(self.device)
                state[name] = torch.where(where, self.state[name], state[name])
        if not self.config.budget.random_start:
            return state
        start = torch.randint(0, 2**31, state["t"].shape, generator=self.random)
        return state | {"t": start.to(self.device)}

    def validate(self) -> None:
        """Measure the running mean of the weights; keep it if it is the best so far."""
        report = self.task.validate(self.mean)
        if self.best is None or report.score > self.best[1].score:
            self.best = copy.deepcopy(self.mean), report
            if self.keep is not None:
                self.keep(*self.best)
        self.history.valid_steps.append(len(self.history.steps))
        self.history.valid_score.append(report.score)
        if self.scalars is not None:
            self.scalars.validation(len(self.history.steps), report.score, report.figures)
        minutes = self.seconds / 60.0
        if self.history.steps:
            self.console.print(
                f"{minutes:5.1f} min  {self.note}  {report.summary}", highlight=False
            )

    def finish(self) -> Fit:
        """Validate for the last time, and say which switches are of no use."""
        if not self.history.valid_steps or self.history.valid_steps[-1] != len(self.history.steps):
            self.validate()
        assert self.best is not None
        self.history.seconds = self.seconds
        network, report = self.best
        if report.neuron_rates:
            warning = switch_health(network.spec.layers, report.neuron_rates)[1]
            if warning:
                self.console.print(f"warning: {warning}", style="yellow", highlight=False)
        return Fit(network, report, self.history)

    def contents(self) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        assert self.best is not None
        return {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "best": self.best[0].state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": self.random.get_state(),
            "torch_random": torch.get_rng_state(),
            "state": self.state,
            "history": asdict(self.history),
            "seconds": self.seconds,
        }

    def go_on(self, saved: dict[str, Any]) -> None:
        """Continue from what `contents` gave."""
        self.network.load_state_dict(saved["network"])
        self.mean.load_state_dict(saved["mean"])
        self.optimiser.load_state_dict(saved["optimiser"])
        best = copy.deepcopy(self.mean)
        best.load_state_dict(saved["best"])
        self.best = best, self.task.validate(best)
        self.state = {name: value.to(self.device) for name, value in saved["state"].items()}
        self.history = History(**saved["history"])
        self.seconds_before, self.began = saved["seconds"], time.monotonic()
        self.random.set_state(saved["random"])
        torch.set_rng_state(saved["torch_random"])


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidConfig("device is 'cuda', but torch finds no GPU; expected 'cpu'")
    return torch.device(name)


@torch.no_grad()
def _orthogonal(network: Network) -> None:
    """Draw every recurrent matrix [n H, H] anew: n orthogonal blocks, which keep gradients."""
    for name, weight in network.named_parameters():
        if name.endswith("weight_h") and weight.ndim == 2:
            for block in torch.split(weight, weight.shape[1]):
                nn.init.orthogonal_(block)


def _optimiser(network: Network, config: Optimiser) -> torch.optim.AdamW:
    ids = {id(p) for p in switch_parameters(network)}
    learned = [p for p in network.parameters() if p.requires_grad]
    switches = [p for p in learned if id(p) in ids]
    rest = [p for p in learned if id(p) not in ids]
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


def _batches(
    task: Task, worker: ThreadPoolExecutor, first: int, end: int
) -> Iterator[tuple[int, Batch]]:
    """Batches first, first + 1, ... before `end`, made ahead of their use by one worker."""
    waiting: deque[Future[Batch]] = deque()
    asked = first
    try:
        for number in range(first, end):
            while asked < end and len(waiting) < _AHEAD:
                waiting.append(worker.submit(task.batch, asked))
                asked += 1
            yield number, waiting.popleft().result()
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
