"""Held-out streams for voice activity: fixed mixtures, and what a network makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from surnn.answers import probabilities
from surnn.metrics import auc, best_threshold, detection
from surnn.nn import Network
from surnn.spec import ModelSpec
from surnn.train.audio_mix import Mixer, Sources, held_out_mix
from surnn.train.config_data import AudioConfig, DataSet
from surnn.train.recordings import Pool, read_pool
from surnn.train.task import Example, Report
from surnn.types import Float32

__all__ = ["HeldOut", "VoiceValidation"]

_SNRS = (0.0, 5.0, 10.0, 20.0)
_BATCH = 32
_EMPTY = Pool((), ())
_SEED = 20_000


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One held-out mixture."""

    group: str
    """Speech set, or what the stream holds instead of speech."""
    snr: float | None
    samples: Float32
    labels: NDArray[np.bool_]


@dataclass(slots=True)
class _Outcome:
    """What a network gave for all streams: [N, T] and [N, T, L]."""

    probs: Float32
    open_rates: Float32
    neuron_rates: list[Float32]


class VoiceValidation:
    """Streams of held-out speakers and languages in held-out noises, always the same."""

    def __init__(self, spec: ModelSpec, audio: AudioConfig, root: Path) -> None:
        self.spec = spec
        self.false_share = audio.valid.false_share
        self.frames = round(audio.valid.seconds * spec.frame_rate)
        held = [s for s in audio.sets if s.role == "valid"]
        self._noise = self._pool(root, held, "noise")
        self._music = self._pool(root, held, "music")
        self.streams: list[HeldOut] = []
        seed, streams = _SEED, audio.valid.streams
        speech = [s for s in held if s.kind == "speech"]
        for item in speech:
            pool = read_pool(root, [item], spec.sample_rate)
            for snr in (None, *_SNRS):
                seed += 1
                self._add(item.folder, pool, snr, seed, streams)
            self._add(
                f"{item.folder}, telephone", pool, 10.0, seed + 500, -(-streams // 2), telephone=1.0
            )
        self._add("noise alone", _EMPTY, 0.0, seed + 1, 2 * streams)
        self._add("music alone", _EMPTY, 0.0, seed + 2, streams, music=1.0)
        silence = np.zeros(self.frames * spec.hop, np.float32)
        self.streams.append(
            HeldOut("digital silence", None, silence, np.zeros(self.frames, np.bool_))
        )
        self.main = speech[0].folder if speech else ""
        self.truth = np.stack([s.labels for s in self.streams])

    def _pool(self, root: Path, held: list[DataSet], kind: str) -> Pool:
        return read_pool(root, [s for s in held if s.kind == kind], self.spec.sample_rate)

    def _add(
        self,
        group: str,
        speech: Pool,
        snr: float | None,
        seed: int,
        count: int,
        *,
        telephone: float = 0.0,
        music: float = 0.2,
    ) -> None:
        settings = held_out_mix(
            snr,
            no_speech=0.0 if speech else 1.0,
            music=music if self._music else 0.0,
            telephone=telephone,
        )
        mixer = Mixer(
            Sources(speech, self._noise, self._music, _EMPTY),
            settings,
            rate=self.spec.sample_rate,
            hop=self.spec.hop,
            frames=self.frames,
            seed=seed,
        )
        for i in range(count):
            mixed = mixer.clip(i)
            self.streams.append(
                HeldOut(group, snr if speech else None, mixed.samples, mixed.labels)
            )

    def report(self, network: Network, *, final: bool = False) -> Report:
        """Measure a network. Main figures: first speech set, 0 to 20 dB."""
        outcome = self._run(network)
        noisy = np.array([s.snr is not None for s in self.streams])
        named = np.array([s.group == self.main for s in self.streams])
        everything = self._pick(outcome, np.ones_like(noisy))
        main = self._pick(outcome, named & noisy)
        threshold = best_threshold(*main)
        rates = self._open_rates(network, outcome, noisy)
        area, everywhere = auc(*main) or 0.0, auc(*everything) or 0.0
        figures: dict[str, object] = {
            "main": detection(*main, threshold).as_dict() | rates,
            "all": detection(*everything, threshold).as_dict(),
            "groups": self._groups(outcome, threshold),
            "threshold": threshold,
        }
        accuracy = detection(*main, threshold).accuracy
        # Unseen languages and noise-only streams count as much as the main set.
        quality = 0.5 * (area + everywhere)
        if self.false_share is not None:
            found = self._found(outcome, self.false_share)
            figures["found_at_false_share"] = found
            quality = (area + everywhere + found) / 3.0
        report = Report(
            score=quality - max(0.0, float(rates["open_rate"]) - 0.25),
            summary=f"AUC {area:.4f} (all {everywhere:.4f}) accuracy {accuracy:.4f} "
            f"open {rates['open_rate']:.3f}",
            figures=figures,
            threshold=threshold,
        )
        if final:
            for snr in _SNRS:
                at_snr = [s.snr == snr and "telephone" not in s.group for s in self.streams]
                report.curves[f"{snr:g} dB"] = self._pick(outcome, np.array(at_snr))
            report.neuron_rates = outcome.neuron_rates
            report.example = self._example(network)
        return report

    def _run(self, network: Network) -> _Outcome:
        network.eval()
        probs, rates, neurons = [], [], []
        with torch.no_grad():
            for first in range(0, len(self.streams), _BATCH):
                part = self.streams[first : first + _BATCH]
                frames = np.stack([s.samples for s in part]).reshape(len(part), self.frames, -1)
                state = network.initial_state(len(part))
                # Some clock phases, the same ones each time.
                state["t"] = torch.arange(len(part), dtype=torch.int64) * 1_000_003
                output = network(torch.from_numpy(frames), state=state)
                probs.append(self._aligned(output.logits)[..., 0])
                rates.append(torch.stack([g.mean(-1) for g in output.gates], -1).numpy())
                neurons.append([g.mean(dim=1).numpy() for g in output.gates])
        return _Outcome(
            np.concatenate(probs),
            np.concatenate(rates),
            [np.concatenate(layer).mean(axis=0) for layer in zip(*neurons, strict=True)],
        )

    def _aligned(self, logits: torch.Tensor) -> Float32:
        """Probabilities [B, T, C] of the frames that logits [B, T, C] answer for.

        The last frames of a stream, whose answer lies behind its end, repeat the one before.
        """
        ahead = self.spec.lookahead
        aligned = np.concatenate(
            [logits[:, ahead:].numpy(), logits[:, -1:].numpy().repeat(ahead, axis=1)], axis=1
        )
        return probabilities(aligned, self.spec.head)

    def _pick(
        self, outcome: _Outcome, chosen: NDArray[np.bool_]
    ) -> tuple[Float32, NDArray[np.bool_]]:
        """Scores and truth of all frames of the chosen streams [N]."""
        return outcome.probs[chosen].ravel(), self.truth[chosen].ravel()

    def _found(self, outcome: _Outcome, share: float) -> float:
        """Share of speech that passes the threshold which `share` of all else alone passes."""
        alone = np.array([not s.labels.any() for s in self.streams])
        threshold = np.quantile(outcome.probs[alone], 1.0 - share)
        return float((outcome.probs[self.truth] > threshold).mean())

    def _groups(self, outcome: _Outcome, threshold: float) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for key in dict.fromkeys((s.group, s.snr) for s in self.streams):
            chosen = np.array([(s.group, s.snr) == key for s in self.streams])
            measured = detection(*self._pick(outcome, chosen), threshold).as_dict()
            rows.append({"group": key[0], "snr_db": key[1], **measured})
        return rows

    def _open_rates(
        self, network: Network, outcome: _Outcome, chosen: NDArray[np.bool_]
    ) -> dict[str, float]:
        """Share of neurons updated: over all frames, in speech, and elsewhere."""
        hidden = np.array([layer.hidden for layer in network.spec.layers], np.float32)
        each = outcome.open_rates @ (hidden / hidden.sum())  # [N, T]
        truth = self.truth
        silent = np.array([s.group == "digital silence" for s in self.streams])
        return {
            "open_rate": float(each[chosen].mean()),
            "open_rate_speech": float(each[truth].mean()),
            "open_rate_nonspeech": float(each[~truth].mean()),
            "open_rate_digital_silence": float(each[silent].mean()),
        }

    def _example(self, network: Network) -> Example:
        """The first stream of the main set at 5 dB."""
        stream = next(
            (s for s in self.streams if s.group == self.main and s.snr == 5.0), self.streams[0]
        )
        frames = torch.from_numpy(stream.samples.reshape(1, self.frames, -1))
        with torch.no_grad():
            output = network(frames)
        return Example(
            title=f"Held-out speakers, {stream.snr:g} dB" if stream.snr is not None else "Held-out",
            frame_rate=self.spec.frame_rate,
            signal=stream.samples,
            signal_unit="amplitude",
            labels=self.spec.labels,
            truth=stream.labels[:, None].astype(np.float32),
            probs=self._aligned(output.logits)[0],
            gates=[g[0].numpy() for g in output.gates],
        )
