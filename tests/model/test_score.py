from __future__ import annotations

import dataclasses
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.errors import InvalidConfig
from surnn.model import Model
from surnn.runtimes.base import Runtime
from surnn.score import (
    FileScore,
    ScoreProgress,
    Segment,
    score_file,
    score_files,
    stream_file,
)
from surnn.spec import ModelSpec
from surnn.types import Float32

Bursts = Callable[..., Float32]
Wav = Callable[..., Path]


def spans(score: FileScore) -> list[tuple[float, float]]:
    return [(round(s.start, 6), round(s.end, 6)) for s in score.segments]


def timeless(score: FileScore) -> FileScore:
    """The score without what differs from run to run."""
    return dataclasses.replace(score, compute_ms=0.0, frames=None)


def test_one_file(audio_model: Model, bursts: Bursts, wav: Wav) -> None:
    path = wav("call.wav", bursts(3.0, (0.5, 1.0), (2.0, 2.5)))
    score = score_file(audio_model, path)
    assert (score.file, score.model, score.labels) == (str(path), "loud", ("speech",))
    assert (score.error, score.frames, score.seconds) == (None, None, 3.0)
    # The window of 25 ms sees a burst up to 15 ms after its end, counted in frames of 10 ms.
    assert spans(score) == [(0.5, 1.02), (2.0, 2.52)]
    assert [segment.label for segment in score.segments] == ["speech"] * 2
    assert all(0.99 < segment.score < 1.0 for segment in score.segments)
    assert score.sparsity.possible == 300 * 10
    assert 0 < score.sparsity.updates < score.sparsity.possible
    assert score.compute_ms > 0
    assert score.realtime_factor == pytest.approx(3000 / score.compute_ms)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_other_rates_and_stereo(audio_model: Model, bursts: Bursts, wav: Wav, rate: int) -> None:
    samples = bursts(2.5, (0.5, 1.5), rate=rate)
    score = score_file(audio_model, wav("a.flac", np.stack([samples, samples], axis=1), rate))
    assert score.seconds == 2.5
    ((start, end),) = spans(score)
    assert start == pytest.approx(0.5, abs=0.02)
    assert end == pytest.approx(1.5, abs=0.04)


def test_a_span_open_at_the_end_ends_with_the_file(
    audio_model: Model, bursts: Bursts, wav: Wav
) -> None:
    # 16,080 samples: the last frame is only half full.
    samples = bursts(1.005, (0.5, 2.0))
    score = score_file(audio_model, wav("a.wav", samples))
    assert score.seconds == 1.005
    assert spans(score) == [(0.5, 1.005)]


def test_frames_only_when_asked(audio_model: Model, bursts: Bursts, wav: Wav) -> None:
    samples = bursts(25.0, (3.0, 4.0))
    track = score_file(audio_model, wav("a.wav", samples, subtype="FLOAT"), frames=True).frames
    assert track is not None
    assert track.rate == 100.0
    results = audio_model.stream().feed(samples)
    np.testing.assert_array_equal(track.probs, np.concatenate([r.probs for r in results]))
    np.testing.assert_array_equal(track.open_rates, np.concatenate([r.open_rates for r in results]))
    assert track.probs.shape == (2500, 1)


def test_files_side_by_side_score_as_alone(
    audio_spec: ModelSpec, make_runtime: Callable[[ModelSpec], Runtime], bursts: Bursts, wav: Wav
) -> None:
    runtime = make_runtime(audio_spec)
    model = Model(runtime)
    lengths = [0.3, 12.0, 1.0, 25.5, 0.01, 11.0, 2.2]
    paths = [
        wav(f"{i}.wav", bursts(s, (0.1 * s, 0.5 * s)), [16_000, 8000][i % 2])
        for i, s in enumerate(lengths)
    ]
    scores = list(score_files(model, iter(paths), batch=3))
    assert max(runtime.batches) == 3  # type: ignore[attr-defined]
    assert sorted(s.file for s in scores) == sorted(map(str, paths))
    for score in scores:
        assert timeless(score) == timeless(score_file(model, score.file))
    # Short ones overtake the long one.
    assert scores[-1].file == str(paths[3])
    again = list(score_files(model, paths, batch=3))
    assert [timeless(s) for s in again] == [timeless(s) for s in scores]


def test_a_bad_file_disturbs_no_other(
    audio_model: Model, bursts: Bursts, wav: Wav, tmp_path: Path
) -> None:
    good = [wav(f"good{i}.wav", bursts(14.0 + i, (11.0, 12.0))) for i in range(2)]
    poisoned = bursts(13.0, (0.5, 1.0))
    poisoned[-1] = np.nan
    text = tmp_path / "text.wav"
    text.write_text("hello, hello, hello")
    bad = {
        str(text): ("invalid_audio", "text.wav cannot be read as audio"),
        str(wav("nan.wav", poisoned, subtype="FLOAT")): ("invalid_audio", "samples hold NaN"),
        str(wav("wide.wav", np.zeros((500, 9)))): ("invalid_config", "stream has 9 channels"),
        str(wav("slow.wav", np.zeros(500), 2000)): ("invalid_config", "sample rate is 2000"),
        str(tmp_path / "none.wav"): ("invalid_audio", "none.wav cannot be opened"),
    }
    paths = [good[0], *bad, good[1]]
    scores = {score.file: score for score in score_files(audio_model, paths, batch=2)}
    assert set(scores) == set(map(str, paths))
    for path, (code, message) in bad.items():
        score = scores[path]
        assert score.error is not None
        assert (score.error.code, score.segments) == (code, ())
        assert score.error.message.startswith(message)
        assert str(tmp_path) not in score.error.message
    for path in good:
        assert timeless(scores[str(path)]) == timeless(score_file(audio_model, path))
        assert spans(scores[str(path)]) == [(11.0, 12.02)]


def test_no_files(audio_model: Model) -> None:
    assert list(score_files(audio_model, [])) == []


def test_files_are_opened_only_as_places_become_free(
    audio_model: Model, bursts: Bursts, wav: Wav
) -> None:
    path = wav("a.wav", bursts(0.2))
    taken = 0

    def paths() -> object:
        nonlocal taken
        for _ in range(10):
            taken += 1
            yield path

    scores = score_files(audio_model, paths(), batch=2)  # type: ignore[arg-type]
    assert taken == 0
    next(scores)
    assert taken == 2
    assert len(list(scores)) == 9


def test_progress(audio_model: Model, bursts: Bursts, wav: Wav) -> None:
    long, short = wav("l.wav", bursts(15.0)), wav("s.wav", bursts(2.0))
    seen: list[ScoreProgress] = []
    list(score_files(audio_model, [long, short, "none.wav"], batch=2, on_progress=seen.append))
    assert seen == [
        ScoreProgress(done=1, failed=0, seconds=12.0, active=(str(long),)),
        ScoreProgress(done=3, failed=1, seconds=17.0, active=()),
    ]


def test_an_abandoned_run_closes_its_files(audio_model: Model, bursts: Bursts, wav: Wav) -> None:
    scores = score_files(audio_model, [wav("s.wav", bursts(1.0)), wav("l.wav", bursts(30.0))])
    next(scores)
    scores.close()  # type: ignore[attr-defined]  # an open file would be a ResourceWarning


def test_options_that_cannot_be_are_told_at_once(audio_model: Model) -> None:
    with pytest.raises(InvalidConfig, match="batch is 0, expected at least 1"):
        score_files(audio_model, [], batch=0)
    for function in (score_files, stream_file):
        with pytest.raises(InvalidConfig, match="threshold for 'dog'"):
            function(audio_model, "a.wav", thresholds={"dog": {"on": 0.5}})


def test_thresholds(audio_model: Model, bursts: Bursts, wav: Wav) -> None:
    path = wav("a.wav", bursts(3.0, (0.5, 1.0), (2.0, 2.9)))
    score = score_file(audio_model, path, thresholds={"speech": {"min_on": 0.7}})
    assert spans(score) == [(2.0, 2.92)]


def test_uploads(audio_model: Model, bursts: Bursts) -> None:
    upload = io.BytesIO()
    soundfile.write(upload, bursts(1.0, (0.2, 0.5)), 16_000, format="FLAC")
    score = score_file(audio_model, ("folder/up.flac", upload))
    assert score.file == "folder/up.flac"
    assert spans(score) == [(0.2, 0.52)]
    assert not upload.closed


def test_stream_file_tells_segments_as_they_end(
    audio_model: Model, bursts: Bursts, wav: Wav
) -> None:
    path = wav("a.wav", bursts(31.0, (1.0, 2.0), (12.0, 13.0), (30.5, 31.0)))
    *segments, score = stream_file(audio_model, path)
    assert isinstance(score, FileScore)
    assert tuple(segments) == score.segments
    assert timeless(score) == timeless(score_file(audio_model, path))
    first = next(iter(stream_file(audio_model, path)))
    assert isinstance(first, Segment)
    (failed,) = stream_file(audio_model, "none.wav")
    assert isinstance(failed, FileScore)
    assert failed.error is not None


def test_sensors_with_exclusive_labels(sensor_model: Model, tmp_path: Path) -> None:
    values = np.repeat(9 * np.eye(3)[[0, 1, 0, 2]], 25, axis=0)
    npy, csv = tmp_path / "walk.npy", tmp_path / "walk.csv"
    np.save(npy, values)
    np.savetxt(csv, values, delimiter=",", header="x,y,z", comments="")
    wav = tmp_path / "walk.wav"
    soundfile.write(wav, values, 50, subtype="FLOAT")
    expected = [("a", 0.0, 0.5), ("b", 0.5, 1.0), ("a", 1.0, 1.5), ("c", 1.5, 2.0)]
    for score in score_files(sensor_model, [npy, csv, wav]):
        assert score.error is None
        assert [(s.label, s.start, s.end) for s in score.segments] == expected
    (faster,) = score_files(sensor_model, [csv], sample_rate=100)
    assert faster.seconds == 1.0


def test_a_table_is_not_audio(audio_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,2\n")
    score = score_file(audio_model, path)
    assert score.error is not None
    assert "a.csv cannot be read as audio" in score.error.message


def test_memory_does_not_grow_with_length(sensor_model: Model, tmp_path: Path) -> None:
    peaks = []
    for rows in (3000, 30_000):
        path = tmp_path / f"{rows}.npy"
        np.save(path, np.zeros((rows, 3), np.float32))
        tracemalloc.start()
        score_file(sensor_model, path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
