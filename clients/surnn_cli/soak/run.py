"""One soak from beginning to end."""

from __future__ import annotations

import asyncio
import collections
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import surnn
from surnn.bench.machine import describe
from surnn.bench.process import raise_file_limit
from surnn.model import locate
from surnn_cli.soak.marathon import Marathon
from surnn_cli.soak.proxy import Proxy
from surnn_cli.soak.sounds import eventful, make_movement, make_sound, undisturbed
from surnn_cli.soak.streams import Case, Score, play_on
from surnn_cli.soak.vandals import VANDALS, Counts, Scene, Tokens, run_vandal
from surnn_cli.soak.victim import Victim
from surnn_cli.soak.watch import Watch
from surnn_client.aio import connect_async
from surnn_server.tokens import new_key

__all__ = ["Soak", "run_soak"]

Progress = Callable[[str], None]

_TTL_S = 3600.0
_LAST_S = 300.0
"""Wait for the last streams."""
_POLL_S = 0.5
_STEADY = 0.4
"""Share of the time, at the end, in which the server lives on: only then can its memory be seen."""
_SOUNDS = 12
_MOST_VANDALS = 16
"""At a time: on a slow machine they must not become more and more."""


@dataclass(frozen=True)
class Soak:
    """What is to be done."""

    minutes: float = 5.0
    streams: int = 24
    """Well-behaved ones at the same time; every fifth is of a model that is reloaded, and one lasts
    as long as the soak."""
    seed: int = 1
    seconds: float = 20.0
    """Length of one stream's sound."""
    most_growth_mb: float = 64.0
    """Of the server's memory after it has warmed up; more is a failure."""
    most_slower: float = 4.0
    """Latency at the end in that at the beginning of the steady part; more is a failure. Other
    programs of the machine can double it."""


def run_soak(options: Soak, progress: Progress = lambda line: None) -> dict[str, object]:
    """Run it; the report. `lost` and `faults` in it are 0 if all went well. Raises `SurnnError`."""
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="surnn-soak-") as folder:
        return asyncio.run(_Run(options, Path(folder), progress).go())


class _Run:
    def __init__(self, options: Soak, folder: Path, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._chance = random.Random(options.seed)
        self._models = folder / "models"
        key = new_key()
        self._victim = Victim(
            {
                "SURNN_HOST": "127.0.0.1",
                "SURNN_MODELS": "vad",
                "SURNN_MODELS_DIR": str(self._models),
                "SURNN_MODELS_POLL_S": str(_POLL_S),
                "SURNN_STATE_KEYS": key,
                "SURNN_STATE_TTL_S": str(_TTL_S),
                "SURNN_LOG_LEVEL": "warning",
                "SURNN_LOG_FORMAT": "json",
                "SURNN_IDLE_TIMEOUT_S": "5",
                "SURNN_MAX_SESSION_S": "15",
                "SURNN_SEQUENCE_IDLE_TIMEOUT_S": "5",
                # A busy machine must not turn streams away: what is measured here is loss.
                "SURNN_ADMISSION_WAIT_MS": "0",
                "SURNN_DATA_DIR": str(folder / "jobs"),
            },
            folder,
        )
        self._tokens = Tokens(key, _TTL_S)
        self._proxy = Proxy()
        self._score = Score()
        self._counts = Counts()
        self._done: collections.Counter[str] = collections.Counter()
        """Faults of server and network."""
        self._drains: list[float] = []
        self._replacing = asyncio.Lock()
        """Held while the server or its models are replaced: a server that starts with a damaged
        file serves nothing of that name, as it should."""
        self._watch = Watch(options.most_growth_mb, options.most_slower)
        self._marathon = Marathon()
        self._told = 0
        """Of what is lost, how much was told already."""

    async def go(self) -> dict[str, object]:
        options = self._options
        began = time.monotonic()
        self._place_model()
        cases = await asyncio.to_thread(self._cases)
        self._progress("the undisturbed runs are known; starting the server")
        await self._proxy.start()
        try:
            self._proxy.target = await self._victim.start()
            await self._learn(cases[0])
            await self._storm(cases)
            await self._watch.settle(self._victim)
            self._drains.append(await self._victim.drain())
        finally:
            await self._proxy.stop()
            self._victim.stop()
        return self._report(cases, time.monotonic() - began, options)

    def _place_model(self) -> None:
        """A second model, in a folder that the server follows."""
        place = self._models / "activity" / "1"
        place.mkdir(parents=True)
        shutil.copy(locate("activity"), place / "model.onnx")

    def _cases(self) -> list[Case]:
        vad = surnn.load("vad")
        exact = vad.runtime.name == "native"
        seconds = self._options.seconds
        cases = []
        for seed in range(_SOUNDS):
            sound = eventful(vad, make_sound(seed, seconds))
            cases.append(Case("vad", sound, undisturbed(vad, sound), exact))
        # What comes from the models folder is run by ONNX Runtime.
        activity = surnn.load("activity", runtime="onnx")
        for seed in range(_SOUNDS // 4):
            sound = make_movement(seed, seconds)
            cases.append(Case("activity", sound, undisturbed(activity, sound), False))
        return cases

    async def _learn(self, case: Case) -> None:
        """Get a token of a real session, for those who will misuse it."""
        sound = case.sound
        async with connect_async(
            f"ws://127.0.0.1:{self._proxy.port}",
            model=case.model,
            sample_rate=sound.rate,
            encoding=sound.encoding,
            channels=sound.channels,
        ) as stream:
            async for _ in stream.run([sound.data]):
                if stream.checkpoint is not None and self._tokens.snapshot is None:
                    self._tokens.learn(stream.checkpoint.token)

    # Everything at once.

    async def _storm(self, cases: list[Case]) -> None:
        options, over = self._options, asyncio.Event()
        url = f"ws://127.0.0.1:{self._proxy.port}"
        players = [
            asyncio.create_task(
                play_on(url, cases, self._score, random.Random(options.seed * 1000 + i), over)
            )
            for i in range(options.streams - 1)
        ]
        marathon = self._marathon.run(url, self._tokens, self._score, over)
        players.append(asyncio.create_task(marathon))
        total = options.minutes * 60.0
        began = time.monotonic()
        others = [
            asyncio.create_task(self._vandalise(over)),
            asyncio.create_task(self._break_network(over)),
            asyncio.create_task(self._reload(over)),
        ]
        try:
            await self._break_server(began + total * (1.0 - _STEADY))
            await self._watch.observe(self._victim, began + total)
            self._tell()
        finally:
            over.set()
        await asyncio.gather(*others)
        self._progress("waiting for the last streams")
        _, late = await asyncio.wait(players, timeout=_LAST_S)
        for player in late:
            player.cancel()
            self._score.lost.append("a stream did not come to its end")
        for player in players:
            if player.done() and not player.cancelled() and (error := player.exception()):
                raise error

    async def _break_server(self, until: float) -> None:
        chance = random.Random(self._options.seed + 1)
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, chance.uniform(2.0, 16.0)))
            async with self._replacing:
                if chance.random() < 0.6:
                    await self._victim.kill()
                    self._done["server killed (SIGKILL)"] += 1
                else:
                    self._drains.append(await self._victim.drain())
                    self._done["server drained (SIGTERM)"] += 1
                self._proxy.target = await self._victim.start()
            self._tell()

    async def _break_network(self, over: asyncio.Event) -> None:
        chance = random.Random(self._options.seed + 2)
        while not await _passed(over, chance.expovariate(2.0)):
            match chance.randrange(4):
                case 0 if self._proxy.stall(
                    chance, chance.uniform(0.5, 4.0), answers_only=chance.random() < 0.5
                ):
                    self._done["connection stalled"] += 1
                case _ if self._proxy.drop(chance):
                    self._done["connection cut within a frame"] += 1

    async def _reload(self, over: asyncio.Event) -> None:
        chance = random.Random(self._options.seed + 3)
        file = self._models / "activity" / "1" / "model.onnx"
        good = file.read_bytes()
        while not await _passed(over, chance.uniform(4.0, 12.0)):
            async with self._replacing:
                if chance.random() < 0.5:
                    _replace(file, good[: chance.randrange(len(good))])
                    self._done["damaged model put in place"] += 1
                    await asyncio.sleep(3 * _POLL_S)
                _replace(file, good)
                self._done["model reloaded"] += 1
                await asyncio.sleep(_POLL_S)

    async def _vandalise(self, over: asyncio.Event) -> None:
        chance = random.Random(self._options.seed + 4)
        names = list(VANDALS)
        running: set[asyncio.Task[None]] = set()
        while not await _passed(over, chance.expovariate(4.0)):
            scene = Scene(self._proxy.target, self._tokens, random.Random(chance.random()))
            task = asyncio.create_task(run_vandal(chance.choice(names), scene, self._counts))
            running.add(task)
            task.add_done_callback(running.discard)
            if len(running) >= _MOST_VANDALS:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*running)

    def _tell(self) -> None:
        score = self._score
        self._progress(
            f"{score.finished} streams of {score.seconds / 3600:.1f} h are as they must be, "
            f"{len(score.lost)} are not; {sum(score.reconnects.values())} reconnects, "
            f"{self._victim.started} servers"
        )
        for line in score.lost[self._told :]:
            self._progress(f"not as it must be: {line}")
        self._told = len(score.lost)

    # The report.

    def _report(self, cases: list[Case], wall_s: float, options: Soak) -> dict[str, object]:
        score, counts, victim = self._score, self._counts, self._victim
        surprises = victim.surprises()
        failures = [*score.lost, *victim.unclean, *surprises, *self._watch.failures()]
        failures += counts.wrong
        return {
            "report": "soak",
            "machine": describe(),
            "seed": options.seed,
            "minutes": options.minutes,
            "wall_s": round(wall_s, 1),
            "model": "vad",
            "runtime": "native" if cases[0].exact else "onnx",
            "streams": {
                "at_once": options.streams,
                "not_opened_at_once": score.not_opened,
                "finished": score.finished,
                "compared_bit_for_bit": score.exact,
                "lost": len(score.lost),
                "hours": round(score.seconds / 3600.0, 2),
                "frames": score.frames,
                "events": score.events,
                "handed_over": score.handed_over,
                "reconnects": dict(score.reconnects.most_common()),
                "sent_again_s": round(score.resent, 1),
            },
            "marathon": {
                "hours": self._marathon.hours,
                "events": self._marathon.events,
                "updates": self._marathon.updates,
            },
            "faults": dict(self._done.most_common()),
            "clients": {
                name: {
                    "tried": counts.tried[name],
                    "right": counts.answered[name],
                    "interrupted": counts.interrupted[name],
                }
                for name in VANDALS
            },
            "server": {
                "started": victim.started,
                "longest_drain_s": round(max(self._drains, default=0.0), 2),
                "unclean_ends": len(victim.unclean),
                "unexpected_log_lines": len(surprises),
                "steady_s": round(options.minutes * 60.0 * _STEADY, 1),
                **self._watch.report(),
            },
            "failures": failures[:50],
            "lost": len(score.lost),
            "ok": not failures,
        }


def _replace(file: Path, data: bytes) -> None:
    """At once, as whoever rolls out a model should."""
    draft = file.with_suffix(".new")
    draft.write_bytes(data)
    draft.replace(file)


async def _passed(over: asyncio.Event, seconds: float) -> bool:
    """Is it over before the time has passed?"""
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        return False
    return True
