"""A server whose results are the same bits in any batch: ONNX Runtime, one frame at a time.

ONNX Runtime picks its matrix kernels by size, so that the last bits of a result depend on how
many frames and sessions share a call. With one frame of one session in every call they cannot.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from surnn import Model
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.onnx import OnnxRuntime
from surnn.state import Slot, StatePool
from surnn_server import Settings, create_app
from surnn_server.serve import make_server


class OneByOne:
    """Hands single frames to a runtime."""

    def __init__(self, runtime: OnnxRuntime) -> None:
        self.name = "one by one"
        self.spec, self.fingerprint = runtime.spec, runtime.fingerprint
        self.new_pool = runtime.new_pool
        self._run = runtime.run

    def run(
        self, pool: StatePool, slots: Sequence[Slot], frames: Sequence[np.ndarray]
    ) -> list[FrameBlock]:
        return [self._one(pool, slot, block) for slot, block in zip(slots, frames, strict=True)]

    def _one(self, pool: StatePool, slot: Slot, frames: np.ndarray) -> FrameBlock:
        single = [self._run(pool, [slot], [frames[i : i + 1]])[0] for i in range(len(frames))]
        if not single:
            return self._run(pool, [slot], [frames])[0]
        return FrameBlock(
            np.concatenate([block.logits for block in single]),
            np.concatenate([block.opened for block in single]),
        )


def exact(model: Model) -> Model:
    """The model, computed frame by frame."""
    runtime = model.runtime
    assert isinstance(runtime, OnnxRuntime)
    return Model(OneByOne(runtime))


def main(port: str, path: str) -> None:
    """Serve one model."""
    import surnn

    settings = Settings(port=int(port))
    model = exact(surnn.load(path))
    make_server(create_app(settings, {model.spec.name: model}), settings).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
