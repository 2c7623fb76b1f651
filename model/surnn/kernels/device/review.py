"""Compile every kernel for a GPU that need not be there, and read what the compiler says.

Triton brings its whole compiler, so registers, spills and shared memory of the very machine code
are known on any Linux machine. `python -m surnn.kernels.device.review` prints them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from surnn.errors import InvalidConfig
from surnn.kernels.device import linear, switches
from surnn.kernels.device.linear import linear_kernel
from surnn.kernels.device.resident import Resident, resident_kernel
from surnn.kernels.device.sequence import backward_kernel, forward_kernel
from surnn.kernels.device.switches import switches_kernel
from surnn.kernels.device.tiled import Tiles, tiled_kernel

__all__ = ["ARCHITECTURES", "SHARED_LIMIT", "Compiled", "Variant", "compile_variant", "variants"]

SHARED_LIMIT = {75: 64 << 10, 80: 163 << 10, 86: 99 << 10, 89: 99 << 10, 90: 227 << 10}
"""Bytes of shared memory that one block may have, by compute capability (CUDA C++ Programming
Guide, table of technical specifications)."""
ARCHITECTURES = (80, 89, 90)

_POINTERS = {
    "rows": "*i64", "lengths": "*i32", "opened": "*u8", "listed": "*i64", "counts": "*i64",
    "written": "*i64", "starts": "*i64", "inc": "*i64",
}  # fmt: skip
_NUMBERS = {
    "batch", "steps", "inputs", "hidden", "switches", "group", "per_batch", "batch_stride",
    "row_stride", "depth", "columns", "out_stride", "clocks", "count",
}  # fmt: skip


Constants = dict[str, object]


@dataclass(frozen=True, slots=True)
class Variant:
    """A kernel with everything that the compiler needs to know."""

    name: str
    kernel: triton.JITFunction
    constants: Constants
    warps: int
    weights: str = "fp32"
    """Type of what is called weight_h or weight_x."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one block of the machine code takes."""

    name: str
    architecture: int
    warps: int
    registers: int
    """Of a thread; 255 is the most there can be."""
    spilled_bytes: int
    """Stack of a thread: what did not fit into registers."""
    shared_bytes: int

    @property
    def blocks(self) -> int:
        """Blocks that fit onto one multiprocessor by registers: 65,536 of them."""
        return 65_536 // (self.registers * self.warps * 32)


def variants() -> Iterator[Variant]:
    """Every form in which the runtime and training launch a kernel."""
    tiles: Constants = {"BB": Tiles.SESSIONS, "BJ": Tiles.NEURONS, "BK": Tiles.DEPTH}
    constants: Constants
    for listed in (False, True):
        for weights in ("fp32", "fp16", "bf16"):
            for precision in ("ieee", "tf32x3"):
                name = f"tiled{' listed' * listed} {weights} {precision}"
                flags: Constants = {"LISTED": listed, "COUNT": False, "PRECISION": precision}
                yield Variant(name, tiled_kernel, tiles | flags, Tiles.WARPS, weights)
    for dtype, weights in ((torch.float32, "fp32"), (torch.float16, "fp16")):
        size = 16
        while size <= Resident.MOST[dtype]:
            constants = {
                "COUNT": False, "HALVES": weights == "fp16", "BB": Resident.SESSIONS, "HP": size,
            }  # fmt: skip
            name = f"resident {weights} {size}"
            yield Variant(name, resident_kernel, constants, Resident.WARPS[dtype], weights)
            size *= 2
    for epilogue in range(4):
        constants = {
            "EPILOGUE": epilogue, "BIAS": True, "ADD": epilogue == 0, "BN": 32, "BM": 32, "BK": 32,
            "PRECISION": "ieee",
        }  # fmt: skip
        yield Variant(f"linear {epilogue}", linear_kernel, constants, linear.WARPS)
    for clock, given in ((True, False), (False, True), (True, True)):
        constants = {
            "CLOCK": clock, "INPUT": given, "BIAS": True, "BN": 32, "BG": 32, "BC": 32, "BK": 32,
        }  # fmt: skip
        name = "switches" + " clock" * clock + " input" * given
        yield Variant(name, switches_kernel, constants, switches.WARPS)
    yield Variant("training forward", forward_kernel, tiles, Tiles.WARPS)
    yield Variant("training backward", backward_kernel, tiles, Tiles.WARPS)


def compile_variant(variant: Variant, architecture: int) -> Compiled:
    """Compile for a compute capability such as 90. Raises `InvalidConfig` in the interpreter."""
    if not isinstance(variant.kernel, triton.JITFunction):
        raise InvalidConfig("TRITON_INTERPRET is set, expected the compiler")
    signature = {
        name: "constexpr" if name in variant.constants else _type(name, variant)
        for name in variant.kernel.arg_names
    }
    binary = triton.compile(
        ASTSource(variant.kernel, signature, constexprs=variant.constants),
        target=GPUTarget("cuda", architecture, 32),
        options={"num_warps": variant.warps, "num_stages": 1},
    )
    registers, stack = _resources(binary.asm["cubin"])
    return Compiled(
        variant.name, architecture, variant.warps, registers, stack, binary.metadata.shared
    )


def _type(name: str, variant: Variant) -> str:
    if name in _NUMBERS:
        return "i32"
    if name == "rows" and variant.kernel in (linear_kernel, switches_kernel):
        return "i32"
    if name in ("weight_h", "weight_x"):
        return f"*{variant.weights}"
    return _POINTERS.get(name, "*fp32")


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers and stack bytes of a thread."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", text)
    if found is None:
        raise InvalidConfig(f"cuobjdump says {text[-200:]!r}, expected REG and STACK")
    return int(found[1]), int(found[2])


def main(arguments: Sequence[str]) -> None:
    """One JSON line for each kernel; arguments: compute capabilities, then parts of names."""
    numbers = [int(a) for a in arguments if a.isdecimal()] or list(ARCHITECTURES)
    parts = [a for a in arguments if not a.isdecimal()]
    for architecture in numbers:
        for variant in variants():
            if not parts or any(part in variant.name for part in parts):
                print(json.dumps(asdict(compile_variant(variant, architecture))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
