"""``python -m models.train``: from a file to a judged artifact, on a host with nothing else installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models import train
from models.manifest import Manifest
from models.settings import NetSizes
from models.snapshot import load
from tests.support.brokers import ROOT
from tests.support.samples import SHAPE, samples_table

BARE_HOST = """
import sys
from importlib.machinery import PathFinder

class BareHost(PathFinder):
    # Does not find what a bare GPU host does not have.
    ABSENT = {"faust", "aiokafka", "river", "numba", "msgspec", "pydantic", "pydantic_settings", "prometheus_client",
              "aiohttp", "pandas", "sklearn", "scipy", "typer", "rich", "tensorboard"}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in cls.ABSENT else super().find_spec(name, path, target)

sys.meta_path[:] = [BareHost if finder is PathFinder else finder for finder in sys.meta_path]
from models.train import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _small_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NetSizes, "__init__", small_shape)


def small_shape(shape: NetSizes, **sizes: int) -> None:
    for name in NetSizes.__dataclass_fields__:
        object.__setattr__(shape, name, sizes.get(name, getattr(SHAPE, name)))


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    pq.write_table(samples_table(800), tmp_path / "samples.parquet")
    return tmp_path / "samples.parquet"


def run(*arguments: object) -> int:
    return train.main([*map(str, arguments), "--device", "cpu", "--batch", "64", "--epochs", "2"])


def only_manifest(folder: Path) -> Manifest:
    (file,) = folder.glob("*.json")
    return Manifest.from_json(file.read_bytes())


def test_it_writes_an_artifact_that_its_manifest_vouches_for(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "models"
    assert run("--samples", samples, "--out", out) == 0
    manifest = only_manifest(out)
    load(out / manifest.uri, manifest)
    assert sorted(file.suffix for file in out.iterdir()) == [".json", ".safetensors"]
    assert manifest.gate is not None
    assert manifest.parent is None
    assert manifest.feature_schema_hash == "schema-1"
    assert manifest.train_offsets == {"0": (0, 479)}
    printed, told = capsys.readouterr()
    assert json.loads(printed)["version"] == manifest.version
    assert json.loads(printed)["samples_per_s"] > 0
    assert "samples/s" in told
    assert "pass 2 of at most 2" in told


def test_it_goes_on_from_a_parent(samples: Path, tmp_path: Path) -> None:
    run("--samples", samples, "--out", tmp_path / "a")
    parent = only_manifest(tmp_path / "a")
    file = tmp_path / "a" / f"{parent.version}.json"
    assert run("--samples", samples, "--out", tmp_path / "b", "--parent", file, "--mode", "heads") == 0
    child = only_manifest(tmp_path / "b")
    assert child.parent == parent.version
    assert "target_correlation_known" in child.baseline_metrics


def test_the_benchmark_compares_the_ways(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--samples", samples, "--benchmark", "--seconds", "0.05") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["full", "heads"]
    assert all(float(row[3].replace(",", "")) > 0 for row in rows)


def test_the_benchmark_measures_the_way_asked_for(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--samples", samples, "--benchmark", "--seconds", "0.02", "--way", "autocast") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in rows] == [["full", "autocast", "64"], ["heads", "autocast", "64"]]
    assert "needs a GPU" in refused(capsys, "--samples", samples, "--benchmark", "--way", "graph")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_wrong_use_is_said_in_a_sentence(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "models"
    assert "no such file" in refused(capsys, "--samples", tmp_path / "none.parquet", "--out", out)
    (tmp_path / "text").write_text("no table")
    assert "is no Parquet file" in refused(capsys, "--samples", tmp_path / "text", "--out", out)
    assert "--out is missing" in refused(capsys, "--samples", samples)
    assert "k is 99.0" in refused(capsys, "--samples", samples, "--out", out, "--k", "99")
    (tmp_path / "parent.json").write_text("{}")
    parent = tmp_path / "parent.json"
    assert "'version' is missing" in refused(capsys, "--samples", samples, "--out", out, "--parent", parent)
    assert not out.exists()


def test_samples_of_another_feature_schema_do_not_go_on_from_a_parent(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--samples", samples, "--out", tmp_path / "a")
    (parent,) = (tmp_path / "a").glob("*.json")
    table = samples_table(800)
    pq.write_table(table.replace_schema_metadata({"feature_schema_hash": "schema-2"}), samples)
    told = refused(capsys, "--samples", samples, "--out", tmp_path / "b", "--parent", parent)
    assert "start without --parent" in told


def test_a_bare_host_is_enough(samples: Path, tmp_path: Path) -> None:
    arguments = ["--samples", samples, "--out", tmp_path / "models", "--device", "cpu", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-c", BARE_HOST, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert only_manifest(tmp_path / "models").size > 1_000_000  # the real net


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main(["--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert "examples" in told
    assert "sie tail samples" in told
