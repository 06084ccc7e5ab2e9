"""`sie kernels`: compiled ahead, and copied where a wheel is made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.cli import root as cli


def test_kernels_are_copied_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["kernels", "--copy-to", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (folder,) = tmp_path.iterdir()
    assert said["folder"] == str(folder)
    assert said["kernels"] == sorted(file.name for file in folder.iterdir())
    assert any(name.startswith("sie_online.shard.loop.run-") for name in said["kernels"])


def test_without_a_copy_it_says_where_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["kernels"]) == 0
    *_, folder = capsys.readouterr().out.split()
    assert list(Path(folder).glob("sie_online.shard.loop.run-*"))
    assert not list(tmp_path.iterdir())


def test_a_copy_that_cannot_be_written_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert cli.run(["kernels", "--copy-to", str(tmp_path / "file")]) == 2
    assert f"--copy-to: {tmp_path / 'file'} cannot be written (Not a directory)" in " ".join(
        capsys.readouterr().err.split()
    )
