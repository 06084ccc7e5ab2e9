"""Compiled kernels are loaded wherever they lie, and never in place of others."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sie_online.errors import SettingsError
from sie_online.jit import OPTIONS
from sie_online.kernel_cache import KernelCache, KernelFolders
from sie_online.linkage import Kernel

X = np.array([1.0, 2.0])


def scaled(x: Any, by: float) -> float:
    if by < 0:
        raise ValueError("by is negative")
    return by * (x[0] + x[1])


def _kernel(folders: KernelFolders, function: Callable[..., Any] = scaled) -> Kernel:
    compiled = Kernel(function, targetoptions=OPTIONS)
    compiled.keep_in(KernelCache(function, folders))
    return compiled


def _loaded(kernel: Kernel) -> tuple[int, int]:
    """How many of it were loaded, and how many compiled."""
    return sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())


def _not_asked_for(_: KernelFolders) -> Path:
    raise AssertionError("nothing is to be written")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache, in which the kernel is, compiled for vectors."""
    monkeypatch.setenv("SIE_CACHE_DIR", str(tmp_path / "cache"))
    compiled = _kernel(KernelFolders("target", tmp_path / "nothing"))
    assert compiled(X, 2.0) == 6.0
    assert _loaded(compiled) == (0, 1)
    return tmp_path / "cache"


def test_a_cache_is_loaded_from_another_place_with_other_times_and_need_not_be_writable(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = shutil.move(kept, tmp_path / "elsewhere")
    for file in moved.rglob("*"):
        os.utime(file, (0, 0))
    monkeypatch.setenv("SIE_CACHE_DIR", str(moved))
    monkeypatch.setattr(KernelFolders, "room", _not_asked_for)
    KernelFolders("target", tmp_path / "nothing").require()
    loaded = _kernel(KernelFolders("target", tmp_path / "nothing"))
    assert loaded(X, 3.0) == 9.0
    assert _loaded(loaded) == (1, 0)
    with pytest.raises(ValueError, match="by is negative"):
        loaded(X, -1.0)


def test_a_target_does_not_see_what_another_has(kept: Path, tmp_path: Path) -> None:
    other = _kernel(KernelFolders("other", tmp_path / "nothing"))
    assert other(X, 2.0) == 6.0
    assert _loaded(other) == (0, 1)


def test_a_type_of_argument_is_a_kernel_of_its_own(kept: Path, tmp_path: Path) -> None:
    other = _kernel(KernelFolders("target", tmp_path / "nothing"))
    assert other(X.astype(np.float32), 2.0) == 6.0
    assert _loaded(other) == (0, 1)


def test_what_is_shipped_needs_no_cache_and_is_left_as_it_is(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = shutil.move(kept, tmp_path / "shipped")
    there = sorted(shipped.rglob("*"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIE_CACHE_DIR", str(tmp_path / "file" / "cache"))  # cannot be made
    folders = KernelFolders("target", shipped)
    folders.require()
    loaded = _kernel(folders)
    assert loaded(X, 2.0) == 6.0
    assert _loaded(loaded) == (1, 0)
    with pytest.raises(SettingsError, match=r"Not a directory\): set SIE_CACHE_DIR"):
        loaded(X.astype(np.float32), 2.0)  # this one would have to be compiled
    monkeypatch.setenv("SIE_CACHE_DIR", str(tmp_path / "new"))
    assert loaded(X.astype(np.float32), 2.0) == 6.0
    assert sorted(shipped.rglob("*")) == there
    assert len(list((tmp_path / "new" / "target").iterdir())) == 1


@pytest.mark.parametrize(
    "damage", [lambda file: file[:-1], lambda file: b"", lambda file: file[:40] + b"?" + file[41:]]
)
def test_a_damaged_file_is_compiled_anew(kept: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    (file,) = (kept / "target").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again = _kernel(KernelFolders("target", tmp_path / "nothing"))
    assert again(X, 2.0) == 6.0
    assert _loaded(again) == (0, 1)
    assert [each.name for each in (kept / "target").iterdir()] == [file.name]
    assert _loaded_anew(tmp_path) == (1, 0)


def _loaded_anew(tmp_path: Path) -> tuple[int, int]:
    kernel = _kernel(KernelFolders("target", tmp_path / "nothing"))
    kernel(X, 2.0)
    return _loaded(kernel)


@contextmanager
def _imported(source: Path) -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("theirs", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["theirs"] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["theirs"]


def test_a_kernel_of_another_package_is_compiled_anew_when_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    answers = []
    for version, number in enumerate((1.0, 2.0, 1.0)):
        source = tmp_path / str(version) / "theirs.py"
        source.parent.mkdir()
        source.write_text(f"NUMBER = {number}\ndef constant(x):\n    return NUMBER\n")
        with _imported(source) as theirs:
            kernel = _kernel(KernelFolders("target", tmp_path / "nothing"), theirs.constant)
            answers.append((kernel(X), *_loaded(kernel)))
    assert answers == [(1.0, 0, 1), (2.0, 0, 1), (1.0, 1, 0)]


def test_only_what_was_used_is_copied(kept: Path, tmp_path: Path) -> None:
    used, unused = KernelFolders("target", tmp_path / "nothing"), KernelFolders("target", tmp_path / "nothing")
    _kernel(unused)(X.astype(np.float32), 2.0)
    _kernel(used)(X, 2.0)
    copied = used.copy(tmp_path / "to")
    assert copied == tmp_path / "to" / "target"
    assert {file.name for file in copied.iterdir()} == set(used.used)
    assert len(used.used) == 1
    assert len(list((kept / "target").iterdir())) == 2
