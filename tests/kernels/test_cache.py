"""Where compiled kernels are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from surnn.kernels import cache


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cache.cache_directory.cache_clear()
    yield
    cache.cache_directory.cache_clear()


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    assert cache.cache_directory().parent == tmp_path
    assert cache.cache_directory().name.startswith("kernels-")


def test_a_directory_that_cannot_be_written_is_used_if_it_was_filled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    filled = cache.cache_directory()
    (filled / "some_kernel.nbi").touch()
    cache.cache_directory.cache_clear()
    monkeypatch.setattr(cache, "_writable", lambda directory: False)
    assert cache.cache_directory() == filled


def test_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "file"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "file" / "cache.py"))
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    assert cache.cache_directory().is_relative_to(tmp_path)


def test_a_failed_save_costs_only_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: object, sig: object, data: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(cache.FunctionCache, "save_overload", refuse)
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))

    def double(x: int) -> int:
        return 2 * x

    assert cache.kernel(double)(21) == 42


def test_the_processor_is_named() -> None:
    assert cache.instruction_set() in ("avx512", "avx2", "neon", "generic")
