"""An evaluation that fits the noise model: announced, adopted, repeated, and what the commands for it say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.announcements import NOISE
from sie_online.evaluation import run as evaluation
from sie_online.evaluation.run import ModelSource, evaluate
from sie_online.settings import Settings
from sie_online.simulator import Scenario, Simulation, simulate
from streams.cli.root import run
from streams.model_registry import artifacts
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.recorded import Repeated, recorded
from streams.observe.metrics import Metrics
from streams.store import LocalStore
from streams.trainer.metrics import TrainingOutcome
from streams.trainer.offline import OfflineTrainer
from tests.support.noise_fits import LENIENT_GATE, QUICK_NOISE, STARTED_MS, quick_settings

ADOPT_AFTER = 150
FIRST_FIT, GROWTH = 1_500, 0.9


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(Scenario(events=4_000, seed=3))


@pytest.fixture(scope="module")
def settings() -> Settings:
    return quick_settings(min_events=FIRST_FIT, growth=GROWTH)


def fitting(out: Path, settings: Settings) -> OfflineTrainer:
    def nothing(_: Any) -> None:
        pass

    return OfflineTrainer(
        settings, LocalStore(out), adopt_after=ADOPT_AFTER, net=False, on_begin=nothing, on_end=nothing
    )


def evaluated(simulation: Simulation, out: Path, settings: Settings, source: ModelSource, partitions: int = 1) -> None:
    evaluate(simulation.chunks(), settings, out, partitions=partitions, started_ms=STARTED_MS, model_source=source)


def weights(out: Path) -> pa.Table:
    return pq.read_table(out / "weights.parquet")


Fitted = tuple[Path, OfflineTrainer]


@pytest.fixture(scope="module", params=[1, 3])
def partitions(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def fitted(
    partitions: int, simulation: Simulation, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Fitted:
    out = tmp_path_factory.mktemp("fitted")
    source = fitting(out, settings)
    evaluated(simulation, out, settings, source, partitions)
    return out, source


def test_it_is_fitted_once_there_are_enough_events_and_when_they_have_grown(fitted: Fitted) -> None:
    out, source = fitted
    first, second = source.noise.fitted
    assert FIRST_FIT <= first.events <= FIRST_FIT + evaluation.LOOK_EVERY
    assert second.events >= 1.8 * first.events
    assert first.outcome is TrainingOutcome.ACCEPTED
    assert first.version in artifacts.stored(LocalStore(out), NOISE)
    assert not source.fine_tuned
    assert not source.priors.outcomes


def test_each_partition_adopts_it_where_it_was_announced(
    fitted: Fitted, simulation: Simulation, settings: Settings, partitions: int, tmp_path: Path
) -> None:
    out, source = fitted
    evaluated(simulation, tmp_path, settings, Repeated(*_nothing(settings, tmp_path)), partitions)
    with_it, without = (
        table.filter(pa.compute.equal(table["revision"], 0)).to_pandas().set_index(["partition", "offset"])
        for table in (weights(out), weights(tmp_path))
    )
    unlike = (with_it["noise_probability"] != without["noise_probability"]).reset_index()
    offsets = source.noise.fitted[0].offsets
    assert set(offsets) == set(range(partitions))
    for partition, first in offsets.items():
        own = unlike[unlike["partition"] == partition]
        assert not own.loc[own["offset"] < first, "noise_probability"].any()
        assert own.loc[own["offset"] >= first, "noise_probability"].mean() > 0.9


def _nothing(settings: Settings, folder: Path) -> tuple[Any, Any]:
    fitting(folder, settings)
    registry, store = recorded(folder)
    return registry, LoadedModels(settings, store, registry, Metrics(settings)).get


def test_a_second_run_fits_the_same_however_records_are_cut(
    fitted: Fitted,
    simulation: Simulation,
    settings: Settings,
    partitions: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, source = fitted
    monkeypatch.setattr(evaluation, "BATCH_RECORDS", 97)
    again = fitting(tmp_path, settings)
    evaluated(simulation, tmp_path, settings, again, partitions)
    assert [done.version for done in again.noise.fitted] == [done.version for done in source.noise.fitted]
    assert weights(tmp_path).equals(weights(out))


def test_repeating_the_announcements_gives_the_same_rows(
    fitted: Fitted, simulation: Simulation, partitions: int, tmp_path: Path
) -> None:
    out, _ = fitted
    registry, store = recorded(out)
    loaded = LoadedModels(Settings(), store, registry, Metrics(Settings()))
    evaluated(simulation, tmp_path, Settings(), Repeated(registry, loaded.get), partitions)
    assert weights(tmp_path).equals(weights(out))


# -- the commands


@pytest.fixture(scope="module")
def events(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("events") / "events.parquet"
    pq.write_table(simulation.table(), file)
    return file


def overrides(**gate: Any) -> list[str]:
    noise = QUICK_NOISE | {"min_events": FIRST_FIT, "growth": GROWTH}
    del noise["fit"]
    noise |= {f"fit.{name}": value for name, value in QUICK_NOISE["fit"].items()}
    noise |= {f"gate.{name}": value for name, value in (LENIENT_GATE | gate).items()}
    return [word for name, value in noise.items() for word in ("--set", f"trainer.noise.{name}={value}")]


def test_a_model_fitted_on_a_file_serves_an_evaluation_from_the_first_record(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, again = (tmp_path / name for name in ("folder", "out", "again"))
    assert run([*overrides(), "fit-noise", str(events), "--out", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["announced"], told["reasons"]) == (True, True, [])
    assert {"worst_auc", "median_auc", "innocent", "clean", "gain"} <= told["metrics"].keys()
    assert run(["evaluate", str(events), "--out", str(out), "--noise-model", str(folder)]) == 0
    registry, _ = recorded(out)
    assert registry[NOISE].in_force(1) == told["version"]
    assert registry[NOISE].announcements[1].offset(7) == 0
    assert run(["evaluate", str(events), "--out", str(again), "--models", str(out)]) == 0
    assert weights(again).equals(weights(out))
    assert run(["evaluate", str(events), "--out", str(tmp_path / "default")]) == 0
    default = weights(tmp_path / "default")
    assert (default["noise_probability"].to_numpy() != weights(out)["noise_probability"].to_numpy()).mean() > 0.9


def test_the_figures_are_told_and_a_refused_model_is_kept_and_not_announced(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*overrides(worst_auc=1.0), "fit-noise", str(events), "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "AUC of detection, worst family" in printed.out
    assert "of the worst held-out family" in printed.out
    (version,) = artifacts.stored(LocalStore(tmp_path), NOISE)
    assert f"refused: {version}" in printed.out
    arguments = ["evaluate", str(events), "--out", str(tmp_path / "out"), "--noise-model", str(tmp_path)]
    assert run(arguments) == 2
    assert "no version of model noise is in force there" in capsys.readouterr().err


def test_too_few_events_are_said_to_be_so(events: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit-noise", str(events)]) == 2
    assert "events are too few: a fit needs 10,000 (trainer.noise.min_events)" in capsys.readouterr().err


def test_an_evaluation_fits_where_it_is_asked_to(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fits, none = tmp_path / "fits", tmp_path / "none"
    assert run([*overrides(), "evaluate", str(events), "--out", str(fits), "--noise-fit", "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert [done["number"] for done in told["noise_fits"]] == [1, 2]
    assert f"Noise model 1: accepted as {told['noise_fits'][0]['version']}" in printed.err
    assert (
        run([*overrides(), "evaluate", str(events), "--out", str(none), "--trainer", "--no-noise-fit", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["noise_fits"] == []


def test_fitting_and_repeating_at_once_is_refused(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (["--noise-fit"], ["--noise-model", str(tmp_path)]):
        assert run(["evaluate", str(events), "--out", str(tmp_path), *option, "--models", str(tmp_path)]) == 2
        assert "choose one" in capsys.readouterr().err


def test_the_help_shows_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit-noise", "--help"]) == 0
    said = capsys.readouterr().out
    assert "sie fit-noise events.parquet" in said
    assert "--noise-model fitted" in said
