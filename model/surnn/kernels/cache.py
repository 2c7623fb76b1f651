"""Compiling kernels, and keeping the machine code where the next process finds it.

Numba's own cache looks only at the file that a function stands in, and refuses a directory that it
cannot write. Here the key covers every file of this package, and a directory that was filled by
`surnn warmup` (in a container image, say) may be read-only afterwards.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

__all__ = [
    "CACHE_VARIABLE",
    "INLINE_OPTIONS",
    "cache_directory",
    "inline",
    "inline_with_arrays",
    "instruction_set",
    "kernel",
]

CACHE_VARIABLE = "SURNN_KERNEL_CACHE"
"""Environment variable: the directory for compiled kernels."""

_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "forceinline": True}
INLINE_OPTIONS: Any = _OPTIONS | {"_nrt": False}
inline = numba.njit(**INLINE_OPTIONS)
"""Decorator of a function that kernels call: compiled into each of them. It cannot make arrays:
where none can be made, none are counted, and counting the references of five arrays takes longer
than the products of a small tile."""
inline_with_arrays = numba.njit(**_OPTIONS)
"""The same for functions that make arrays."""


@cache
def instruction_set() -> str:
    """What kernels are compiled for: `avx512`, `avx2`, `neon` or `generic`."""
    features = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[2]
    for flag, name in (("+avx512f", "avx512"), ("+avx2", "avx2"), ("+neon", "neon")):
        if flag in features.split(","):
            return name
    return "generic"


@cache
def fingerprint() -> str:
    """A hash of the kernels' sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_directory() -> Path:
    """Where compiled kernels are kept: the first of these that holds some, or can be written.

    `SURNN_KERNEL_CACHE`, the package itself, the user's cache directory, a temporary directory.
    """
    name = f"kernels-{fingerprint()}"
    user = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    parents = [Path(__file__).parent / "__pycache__", user / "surnn"]
    if chosen := os.environ.get(CACHE_VARIABLE):
        parents.insert(0, Path(chosen))
    for parent in parents:
        if any((parent / name).glob("*.nbi")) or _writable(parent / name):
            return parent / name
    return Path(tempfile.mkdtemp(prefix="surnn-")) / name


def _writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


class _Locator(_CacheLocator):
    def __init__(self, function: Callable[..., object]) -> None:
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func)

    def ensure_cache_path(self):
        self.get_cache_path()

    def get_cache_path(self):
        return str(cache_directory())

    def get_source_stamp(self):
        return fingerprint()

    def get_disambiguator(self):
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    def __init__(self, py_func):
        self._locator_classes = [_Locator]
        super().__init__(py_func)


class _Cache(FunctionCache):
    _impl_class = _Implementation

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError:
            # Read-only and not filled for this processor: compiled again by the next process.
            self.disable()


def kernel(function):
    """Decorator of a kernel: compiled once per machine, runs without holding the GIL."""
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    dispatcher._cache = _Cache(function)
    return dispatcher
