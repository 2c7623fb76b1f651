"""What others have: GRUs that take the same weights, and voice-activity detectors."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from surnn.errors import MissingDependency
from surnn.runtimes.ort import ort
from surnn.types import Float32

__all__ = ["LayerWeights", "onnx_gru", "random_weights", "silero_vad", "torch_gru", "webrtc_vad"]

LayerWeights = dict[str, Float32]
"""weight_x [3H, I], weight_h [3H, H], bias_x [3H], bias_h [H]; rows ordered z, r, n."""


def random_weights(inputs: int, hidden: int, seed: int = 0) -> LayerWeights:
    """Weights in PyTorch's usual range."""
    rng = np.random.default_rng(seed)
    bound = 1 / np.sqrt(hidden)
    shapes = {
        "weight_x": (3 * hidden, inputs),
        "weight_h": (3 * hidden, hidden),
        "bias_x": (3 * hidden,),
        "bias_h": (hidden,),
    }
    return {k: rng.uniform(-bound, bound, s).astype(np.float32) for k, s in shapes.items()}


def onnx_gru(weights: LayerWeights, x: Float32, h: Float32) -> Callable[[], object]:
    """One call runs x [B, T, I] from h [B, H] through a graph that is one GRU node.

    Raises `MissingDependency` without the onnx package.
    """
    try:
        from surnn.export.builder import GraphBuilder
    except ImportError as error:
        raise MissingDependency(
            "comparing with ONNX Runtime's GRU needs onnx, expected: pip install 'surnn[torch]'"
        ) from error
    hidden, inputs = h.shape[1], x.shape[2]
    g = GraphBuilder()
    sequence = g.input("x", "float32", ["time", "batch", inputs])
    state = g.input("h", "float32", [1, "batch", hidden])
    bias = np.concatenate([weights["bias_x"], np.zeros(2 * hidden, np.float32), weights["bias_h"]])
    y, last = g.ops(
        "GRU",
        2,
        sequence,
        g.const(weights["weight_x"][None], np.float32),
        g.const(weights["weight_h"][None], np.float32),
        g.const(bias[None], np.float32),
        "",
        state,
        hidden_size=hidden,
        linear_before_reset=1,
    )
    g.output("y", y, "float32", ["time", 1, "batch", hidden])
    g.output("last", last, "float32", [1, "batch", hidden])
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        g.model("gru", {}).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {"x": np.ascontiguousarray(x.transpose(1, 0, 2)), "h": h[None]}
    return lambda: session.run(None, feeds)


def torch_gru(weights: LayerWeights, x: Float32, h: Float32) -> Callable[[], object] | None:
    """One call runs x [B, T, I] from h [B, H] through torch.nn.GRU; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    hidden = h.shape[1]
    gru = torch.nn.GRU(x.shape[2], hidden).requires_grad_(requires_grad=False)
    # torch orders the gates r, z, n.
    order = np.concatenate([np.arange(hidden, 2 * hidden), np.arange(hidden)])
    order = np.concatenate([order, np.arange(2 * hidden, 3 * hidden)])
    bias_h = np.concatenate([np.zeros(2 * hidden, np.float32), weights["bias_h"]])
    for name, value in (
        ("weight_ih_l0", weights["weight_x"]),
        ("weight_hh_l0", weights["weight_h"]),
        ("bias_ih_l0", weights["bias_x"]),
        ("bias_hh_l0", bias_h),
    ):
        getattr(gru, name).copy_(torch.from_numpy(value[order]))
    sequence = torch.from_numpy(np.ascontiguousarray(x.transpose(1, 0, 2)))
    state = torch.from_numpy(h[None])

    def run() -> object:
        with torch.inference_mode():
            return gru(sequence, state)

    return run


def silero_vad() -> Callable[[bytes], object] | None:
    """silero-vad's bundled network over 16 kHz PCM, chunk by chunk; None if not installed.

    A plain loop over ONNX Runtime with one thread: faster than the package's own wrapper, which
    goes through torch.
    """
    found = find_spec("silero_vad")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
    if not path.is_file():
        return None
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rate = np.array(16_000, dtype=np.int64)

    def run(pcm: bytes) -> object:
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        state: Float32 = np.zeros((2, 1, 128), np.float32)
        window: Float32 = np.zeros((1, 64 + 512), np.float32)
        probabilities = []
        for begin in range(0, len(samples) - 511, 512):
            window[0, :64] = window[0, 512:]
            window[0, 64:] = samples[begin : begin + 512]
            output, state = session.run(None, {"input": window, "state": state, "sr": rate})
            probabilities.append(output[0, 0])
        return probabilities

    return run


def webrtc_vad() -> Callable[[bytes], object] | None:
    """webrtcvad over 16 kHz PCM in frames of 30 ms; None if not installed."""
    if find_spec("webrtcvad") is None:
        return None
    import webrtcvad

    size = 2 * 480

    def run(pcm: bytes) -> object:
        vad = webrtcvad.Vad(2)
        return [vad.is_speech(pcm[i : i + size], 16_000) for i in range(0, len(pcm) - size, size)]

    return run
