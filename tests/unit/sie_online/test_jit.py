"""What compiled kernels are named after, where they are kept, and what is said where they cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sie_online import jit
from sie_online.errors import SettingsError
from tests.support.brokers import ROOT
from tests.support.workers import SIE_WORKER


def test_a_cache_that_cannot_be_written_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(SettingsError, match=r"Not a directory\): set SIE_CACHE_DIR") as refusal:
        jit.folders.room()
    assert refusal.value.exit_code == 2


def test_a_user_without_a_home_is_told_to_name_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SIE_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(SettingsError, match=r"no home folder .* set SIE_CACHE_DIR"):
        jit.folders.room()


def _copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(jit.PACKAGE, tmp_path / "sie_online", ignore=shutil.ignore_patterns("__pycache__")))


def test_a_copy_of_the_package_has_the_same_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before, package = jit.target(), _copied(tmp_path)
    for source in package.rglob("*.py"):
        os.utime(source, (0, 0))
    with (package / "metrics.py").open("a") as elsewhere:
        elsewhere.write("# no kernel\n")
    monkeypatch.setattr(jit, "PACKAGE", package)
    assert jit.target() == before


@pytest.mark.parametrize("name", ["shard/loop.py", "elementary.py", "contracts.py", "linkage.py"])
def test_a_changed_source_is_another_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    before, package = jit.target(), _copied(tmp_path)
    with (package / name).open("a") as source:
        source.write("MORE = 1\n")
    monkeypatch.setattr(jit, "PACKAGE", package)
    assert jit.target() != before


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (jit.numba, "__version__", "0.0"),
        (jit.llvmlite, "__version__", "0.0"),
        (jit.sysconfig, "get_config_var", lambda _: "cpython-310-x86_64-linux-gnu"),
        (jit, "compiled_for", lambda: ("aarch64-unknown-linux-gnu", "generic", "")),
    ],
    ids=["numba", "llvmlite", "python", "processor"],
)
def test_another_compiler_is_another_target(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, value: object
) -> None:
    before = jit.target()
    monkeypatch.setattr(owner, name, value)
    assert jit.target() != before


def test_a_command_that_needs_kernels_ends_with_2_where_no_home_can_be_written(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIE_", "XDG_"))}
    ended = subprocess.run(
        SIE_WORKER,
        cwd=tmp_path,
        env=kept | {"HOME": "/proc/nobody", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "set SIE_CACHE_DIR to a folder that can be written" in ended.stderr
    assert "Traceback" not in ended.stderr
