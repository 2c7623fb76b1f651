from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surnn.encodings import Encoding
from surnn.errors import InvalidAudio, InvalidConfig, InvalidShape
from surnn.ingest import Ingest, take_frames
from surnn.spec import ModelSpec
from surnn.types import Float32

RNG = np.random.default_rng(7)
NOISE = (0.5 * RNG.uniform(-1, 1, 30_000)).astype(np.float32)
CUTS = st.lists(st.integers(0, 4000), max_size=30)
ENCODED = {
    Encoding.PCM_S16LE: (NOISE[:6000] * 32767).astype("<i2").tobytes(),
    Encoding.PCM_S24LE: RNG.bytes(6000 * 3),
    Encoding.PCM_S32LE: (NOISE[:6000] * 2e9).astype("<i4").tobytes(),
    Encoding.PCM_F32LE: NOISE[:6000].astype("<f4").tobytes(),
    Encoding.MULAW: RNG.bytes(6000),
}


def frames_of(ingest: Ingest, pieces: list[Any], take: int = 10**9) -> Float32:
    """Everything that comes out of a stream fed with these pieces."""
    out = []
    for piece in pieces:
        ingest.push(piece)
        while ingest.ready:
            out.append(ingest.take(take))
    ingest.finish()
    while ingest.ready:
        out.append(ingest.take(take))
    return np.concatenate(out) if out else np.zeros((0, ingest.spec.frame_size), np.float32)


def split(data: Any, sizes: list[int]) -> list[Any]:
    """Cut a sequence into pieces of these sizes, and a last piece with the rest."""
    pieces, begin = [], 0
    for size in sizes:
        pieces.append(data[begin : begin + size])
        begin += size
    return [*pieces, data[begin:]]


@settings(max_examples=40)
@given(
    sizes=CUTS,
    encoding=st.sampled_from(sorted(ENCODED)),
    channels=st.sampled_from([1, 2, 8]),
    rate=st.sampled_from([8000, 16_000, 44_100, 48_000]),
    take=st.sampled_from([1, 7, 10**9]),
)
def test_any_chunking_of_bytes_gives_the_same_frames(
    audio_spec: ModelSpec,
    sizes: list[int],
    encoding: Encoding,
    channels: int,
    rate: int,
    take: int,
) -> None:
    def stream() -> Ingest:
        return Ingest(audio_spec, encoding=encoding, channels=channels, sample_rate=rate)

    data = ENCODED[encoding]
    whole = frames_of(stream(), [data])
    np.testing.assert_array_equal(frames_of(stream(), split(data, sizes), take), whole)


@settings(max_examples=40)
@given(
    sizes=CUTS,
    channels=st.sampled_from([1, 2, 3, 8]),
    rate=st.sampled_from([11_025, 16_000, 44_100]),
    order=st.sampled_from(["C", "F"]),
)
def test_any_chunking_of_arrays_gives_the_same_frames(
    audio_spec: ModelSpec, sizes: list[int], channels: int, rate: int, order: Any
) -> None:
    samples = NOISE[: 30_000 - 30_000 % channels].reshape(-1, channels)
    whole = frames_of(Ingest(audio_spec, channels=channels, sample_rate=rate), [samples])
    pieces = [np.array(piece, order=order) for piece in split(samples, sizes)]
    parts = frames_of(Ingest(audio_spec, channels=channels, sample_rate=rate), pieces)
    np.testing.assert_array_equal(parts, whole)


def test_frames_are_the_samples_in_order(audio_spec: ModelSpec) -> None:
    frames = frames_of(Ingest(audio_spec), [NOISE[:16_000]])
    assert frames.shape == (100, 160)
    np.testing.assert_array_equal(frames.ravel(), NOISE[:16_000])


def test_the_last_frame_is_filled_with_zeros(audio_spec: ModelSpec) -> None:
    frames = frames_of(Ingest(audio_spec), [NOISE[:161]])
    assert frames.shape == (2, 160)
    assert frames[1, 0] == NOISE[160]
    assert not frames[1, 1:].any()


def test_an_empty_stream_has_no_frames(audio_spec: ModelSpec) -> None:
    for rate in (16_000, 44_100):
        ingest = Ingest(audio_spec, sample_rate=rate)
        ingest.push(b"")
        assert ingest.finish() == 0
        assert ingest.ready == 0
        assert ingest.take(10).shape == (0, 160)


@pytest.mark.parametrize("rate", [4000, 8000, 11_025, 22_050, 44_100, 48_000, 96_000, 384_000])
def test_resampling_keeps_the_length_and_the_place_of_every_sample(
    audio_spec: ModelSpec, rate: int
) -> None:
    seconds = 1.37
    time = np.arange(round(seconds * rate)) / rate
    ingest = Ingest(audio_spec, sample_rate=rate)
    ingest.push(np.sin(2 * np.pi * 440 * time).astype(np.float32))
    ingest.finish()
    out = ingest.take(10**9).ravel()
    samples = len(time) * 16_000 / rate
    # The last sample may be rounded up or away; then the frame is filled.
    assert len(out) in {-(-round(samples) // 160) * 160, -(-math.ceil(samples) // 160) * 160}
    middle = slice(3000, 18_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(out)) / 16_000)
    np.testing.assert_allclose(out[middle], expected[middle], atol=1e-4)


def test_channels_are_mixed_to_their_mean(audio_spec: ModelSpec) -> None:
    stereo = np.stack([NOISE[:160], -0.5 * NOISE[:160]], axis=1)
    frames = frames_of(Ingest(audio_spec, channels=2), [stereo])
    np.testing.assert_allclose(frames[0], 0.25 * NOISE[:160], atol=1e-7)


def test_sensor_channels_stay_apart(sensor_spec: ModelSpec) -> None:
    samples = NOISE[:30].reshape(10, 3)
    np.testing.assert_array_equal(frames_of(Ingest(sensor_spec), [samples]), samples)


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(0, 40), max_size=20))
def test_resampled_sensors_do_not_depend_on_chunks(
    sensor_spec: ModelSpec, sizes: list[int]
) -> None:
    data = NOISE[:900].astype("<f4").tobytes()

    def stream() -> Ingest:
        return Ingest(sensor_spec, sample_rate=120, encoding=Encoding.F32LE)

    np.testing.assert_array_equal(
        frames_of(stream(), split(data, sizes)), frames_of(stream(), [data])
    )


@pytest.mark.parametrize("kind", [np.int16, np.float16, np.float32, np.float64, ">f4", ">i2"])
def test_array_types(audio_spec: ModelSpec, kind: Any) -> None:
    values = np.array([0.5, -0.25, 0.125, 0.0] * 40)
    integers = np.dtype(kind).kind == "i"
    array = (values * 32768 if integers else values).astype(kind)
    np.testing.assert_array_equal(frames_of(Ingest(audio_spec), [array])[0], values)


def test_the_caller_may_reuse_its_buffer(audio_spec: ModelSpec) -> None:
    ingest = Ingest(audio_spec)
    buffer = NOISE[:160].copy()
    ingest.push(buffer)
    buffer[:] = 9.0
    np.testing.assert_array_equal(ingest.take(1)[0], NOISE[:160])


def test_bytes_may_come_as_any_buffer(audio_spec: ModelSpec) -> None:
    data = ENCODED[Encoding.PCM_S16LE]
    whole = frames_of(Ingest(audio_spec), [data])
    pieces = [bytearray(data[:333]), memoryview(data)[333:]]
    np.testing.assert_array_equal(frames_of(Ingest(audio_spec), pieces), whole)


def test_a_small_rest_does_not_keep_a_large_chunk_alive(audio_spec: ModelSpec) -> None:
    ingest = Ingest(audio_spec)
    ingest.push(np.zeros(1_000_010, np.float32))
    ingest.take(10**9)
    (rest,) = ingest._pending
    assert rest.base is None


def test_a_split_sample_waits_and_is_counted_at_the_end(audio_spec: ModelSpec) -> None:
    ingest = Ingest(audio_spec, channels=2)
    ingest.push(bytes(4 * 160 + 3))
    assert (ingest.position, len(ingest.split), ingest.ready) == (160, 3, 1)
    assert ingest.finish() == 3
    assert ingest.finish() == 3


BAD = [
    (np.full(5, np.nan, np.float32), InvalidAudio, "samples hold NaN or infinity, expected finite"),
    (np.full(5, -np.inf, np.float32), InvalidAudio, "samples hold NaN or infinity"),
    (np.full(5, 1e300), InvalidAudio, "samples hold NaN or infinity"),
    (np.full(5, 1e4, np.float32), InvalidAudio, "samples reach 10000, expected -1 to 1"),
    (np.full(5, -1e4, np.float32), InvalidAudio, "samples reach 10000, expected -1 to 1"),
    (np.zeros((5, 2), np.float32), InvalidShape, r"samples are \[5, 2\], expected \[n\] or"),
    (np.zeros(()), InvalidShape, r"samples are \[\], expected"),
    (np.zeros(5, np.int32), InvalidShape, "samples are int32, expected float32, float64 or int16"),
    (np.zeros(5, np.complex64), InvalidShape, "samples are complex64"),
    (5, InvalidShape, "data is int, expected bytes or a numpy array"),
    ([1, 2], InvalidShape, "data is list, expected bytes or a numpy array"),
    ("ab", InvalidShape, "data is str, expected bytes or a numpy array"),
]


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize(("bad", "error", "message"), BAD)
def test_a_refused_array_leaves_the_stream_as_it_was(
    audio_spec: ModelSpec, rate: int, bad: Any, error: type[Exception], message: str
) -> None:
    whole = frames_of(Ingest(audio_spec, sample_rate=rate), [NOISE])
    ingest = Ingest(audio_spec, sample_rate=rate)
    ingest.push(NOISE[:1234])
    with pytest.raises(error, match=message):
        ingest.push(bad)
    assert ingest.position == 1234
    np.testing.assert_array_equal(frames_of(ingest, [NOISE[1234:]]), whole)


def test_refused_bytes_leave_a_split_sample_as_it_was(audio_spec: ModelSpec) -> None:
    data = ENCODED[Encoding.PCM_F32LE]
    ingest = Ingest(audio_spec, encoding=Encoding.PCM_F32LE)
    ingest.push(data[:1001])
    bad = data[1001:1004] + np.float32(np.nan).tobytes() + b"x"
    with pytest.raises(InvalidAudio, match="NaN"):
        ingest.push(bad)
    with pytest.raises(InvalidAudio, match="array after 1 bytes of a split sample"):
        ingest.push(NOISE)
    whole = frames_of(Ingest(audio_spec, encoding=Encoding.PCM_F32LE), [data])
    np.testing.assert_array_equal(frames_of(ingest, [data[1001:]]), whole)


def test_data_after_the_end_is_refused(audio_spec: ModelSpec) -> None:
    ingest = Ingest(audio_spec)
    ingest.finish()
    with pytest.raises(InvalidAudio, match="data after the end of the stream, expected none"):
        ingest.push(b"ab")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 3999}, "sample rate is 3999, expected 4000 to 384000 Hz"),
        ({"sample_rate": 400_000}, "sample rate is 400000, expected 4000 to 384000 Hz"),
        ({"channels": 0}, "stream has 0 channels, expected 1 to 8"),
        ({"channels": 9}, "stream has 9 channels, expected 1 to 8"),
    ],
)
def test_audio_options_that_cannot_be(
    audio_spec: ModelSpec, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InvalidConfig, match=message):
        Ingest(audio_spec, **options)


def test_sensor_rates_lie_within_a_factor_of_100(sensor_spec: ModelSpec) -> None:
    for rate in (1, 5000):
        Ingest(sensor_spec, sample_rate=rate)
    for rate in (0, -50, 5001):
        with pytest.raises(InvalidConfig, match=rf"sample rate is {rate}, expected 0\.5 to 5000"):
            Ingest(sensor_spec, sample_rate=rate)


def test_sensor_channels_must_be_the_models(sensor_spec: ModelSpec) -> None:
    with pytest.raises(InvalidConfig, match="stream has 6 channels, expected 3"):
        Ingest(sensor_spec, channels=6)


def test_sensor_levels_are_not_audio_levels(sensor_spec: ModelSpec) -> None:
    ingest = Ingest(sensor_spec)
    ingest.push(np.full((4, 3), 1e6))
    with pytest.raises(InvalidAudio, match=r"samples reach 2e\+09, expected at most 1e\+09"):
        ingest.push(np.full((4, 3), 2e9))


@given(data=st.data())
def test_frames_of_a_batch_are_those_of_each(audio_spec: ModelSpec, data: st.DataObject) -> None:
    """Bytes, arrays, split samples and other encodings, pushed and taken in any order."""
    kinds = st.sampled_from(["pcm", "pcm", "pcm", "stereo", "float", "8k", "array"])
    formats = {
        "stereo": {"channels": 2},
        "float": {"encoding": Encoding.PCM_F32LE},
        "8k": {"sample_rate": 8000},
    }
    chosen = data.draw(st.lists(kinds, min_size=1, max_size=5))
    rng = np.random.default_rng(len(chosen))
    together = [Ingest(audio_spec, **formats.get(kind, {})) for kind in chosen]
    alone = [Ingest(audio_spec, **formats.get(kind, {})) for kind in chosen]
    for _ in range(data.draw(st.integers(1, 4))):
        for kind, one, other in zip(chosen, together, alone, strict=True):
            size = data.draw(st.integers(0, 2000))
            if kind == "array" and data.draw(st.booleans()) and not one.split:
                samples = rng.integers(-32768, 32767, size).astype(np.int16)
                payload: bytes | np.ndarray = samples
            elif kind == "float":
                payload = rng.uniform(-1, 1, size // 4).astype("<f4").tobytes()
            else:
                payload = rng.integers(0, 256, size).astype(np.uint8).tobytes()
            one.push(payload)
            other.push(payload)
            assert (one.ready, one.position) == (other.ready, other.position)
        if data.draw(st.booleans()):
            for one in together:
                one.memory()  # decodes what waits
        limit = data.draw(st.integers(1, 12))
        for frames, other in zip(take_frames(together, limit), alone, strict=True):
            np.testing.assert_array_equal(frames, other.take(limit))
            assert frames.dtype == np.float32
    for one, other in zip(together, alone, strict=True):
        assert one.finish() == other.finish()
        np.testing.assert_array_equal(take_frames([one], 99)[0], other.take(99))
