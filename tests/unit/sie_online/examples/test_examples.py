"""The examples: chronological, the same for both trainings but for the weights, and told so that a person can judge."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.errors import UsageError
from sie_online.examples.samples import TrainingSamples
from sie_online.examples.trial import METRICS, Floats, Plan, compare
from tests.support.simulation import generated_samples

EXAMPLES = ("pytorch", "sklearn")
QUICK = ("--epochs", "1", "--resamples", "20", "--json")


def example(name: str) -> Any:
    return importlib.import_module(f"sie_online.examples.{name}")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of a generated stream, as ``sie tail samples --parquet`` writes them."""
    path = tmp_path_factory.mktemp("samples") / "samples.parquet"
    pq.write_table(pa.Table.from_batches(generated_samples(8_000)), path)
    return path


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_learns_from_generated_samples(name: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert example(name).main(["--file", str(file), *QUICK]) == 0
    result = json.loads(capsys.readouterr().out)
    for training in ("unweighted", "weighted"):
        assert result[training]["AUC"] > 0.6  # it learned something
        assert set(result[training]) == set(METRICS)
    for name_of, difference in result["difference"].items():
        gap = result["weighted"][name_of] - result["unweighted"][name_of]
        assert difference["value"] == pytest.approx(gap)
        assert difference["low"] <= difference["high"]
    assert result["unweighted"] != result["weighted"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_without_weights_there_is_no_difference(name: str, file: Path, tmp_path: Path, capsys: Any) -> None:
    table = pq.read_table(file)
    uniform = tmp_path / "uniform.parquet"
    pq.write_table(
        table.set_column(table.column_names.index("weight"), "weight", pa.array(np.full(len(table), 2.0))), uniform
    )
    assert example(name).main(["--file", str(uniform), *QUICK]) == 0
    result = json.loads(capsys.readouterr().out)
    assert all(difference == {"value": 0.0, "low": 0.0, "high": 0.0} for difference in result["difference"].values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_table_names_every_metric_and_what_was_left_out(name: str, file: Path, capsys: Any) -> None:
    assert example(name).main(["--file", str(file), "--epochs", "1", "--resamples", "0"]) == 0
    told = capsys.readouterr().out
    assert all(metric in told for metric in METRICS)
    assert "had not settled" in told


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        example(name).main(["--help"])
    told = capsys.readouterr().out
    for word in ("sie tail samples --parquet", "--file", "--broker", "held out", "interval", "exit codes"):
        assert word in told, word


@pytest.mark.parametrize("package", EXAMPLES)
def test_a_missing_package_is_named_with_its_install_line(package: str) -> None:
    blocked = {"pytorch": "torch"}.get(package, package)
    code = f"import sys; sys.modules[{blocked!r}] = None; import sie_online.examples.{package}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"no parquet", None], ids=["foreign", "missing"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_unreadable_file_is_one_sentence(name: str, content: bytes | None, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "samples.parquet"
    if content is not None:
        path.write_bytes(content)
    assert example(name).main(["--file", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


class NotingLearner:
    """A learner that notes what it is shown and predicts the label's rate so far."""

    def __init__(self) -> None:
        self.learned: list[TrainingSamples] = []
        self.weights: list[Floats] = []
        self.predicted: list[TrainingSamples] = []

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        self.learned.append(samples)
        self.weights.append(weight)

    def predict(self, samples: TrainingSamples) -> Floats:
        self.predicted.append(samples)
        return np.full(len(samples), 0.1)


def stream(n: int = 1_000, window_ms: int = 100) -> TrainingSamples:
    """One event a millisecond; every third is positive and settles at once, the others after the window."""
    rng = np.random.default_rng(0)
    time_ms, label = np.arange(n), (np.arange(n) % 3 == 0).astype(np.int8)
    return TrainingSamples(
        features=rng.integers(0, 50, (n, 4)),
        dense=rng.normal(size=(n, 2)).astype(np.float32),
        label=label,
        weight=rng.uniform(0.5, 4.0, n),
        noise_probability=np.zeros(n),
        user_hash=rng.integers(0, 30, n),
        event_time_ms=time_ms,
        settled_ms=time_ms + np.where(label == 1, 0, window_ms),
    )


def test_only_what_has_settled_before_the_cut_is_learned_in_that_order() -> None:
    made: list[NotingLearner] = []

    def new() -> NotingLearner:
        made.append(NotingLearner())
        return made[-1]

    result = compare(stream(), new, Plan(held_out=0.3, resamples=0))
    for learner in made:
        settled = np.concatenate([part.settled_ms for part in learner.learned])
        assert (np.diff(settled) >= 0).all()
        assert settled.max() < learner.predicted[-1].event_time_ms.min()
        calibration, scored = learner.predicted
        assert (calibration.settled_ms == learner.learned[1].settled_ms).all()
        assert len(scored) == result.scored == 300
    plain, weighted = (np.concatenate(learner.weights) for learner in made)
    assert (plain == 1).all()
    assert weighted.mean() == pytest.approx(1)
    assert weighted.std() > 0.1
    assert result.learned + result.unsettled + result.scored == 1_000


def test_a_stream_shorter_than_its_window_is_refused() -> None:
    with pytest.raises(UsageError, match="longer than its attribution window"):
        compare(stream(window_ms=2_000).take(np.arange(200)), NotingLearner, Plan())


def test_one_class_alone_is_refused() -> None:
    samples = stream()
    with pytest.raises(UsageError, match="same label"):
        compare(samples.take(samples.label == 0), NotingLearner, Plan())


def test_a_table_that_lacks_a_column_is_refused() -> None:
    with pytest.raises(UsageError, match="'features' is missing"):
        TrainingSamples.from_table(pa.table({"label": [1]}))
