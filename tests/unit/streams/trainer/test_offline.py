"""An evaluation with the trainer: what is announced is adopted where it says, repeats itself, and can be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.manifest import Verdict
from sie_online.announcements import NET, PRIORS
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import UsageError
from sie_online.evaluation import run as evaluation
from sie_online.evaluation.report import EvaluationReport
from sie_online.evaluation.run import ModelSource, evaluate
from sie_online.settings import Settings, load
from sie_online.simulator import Scenario, Simulation, simulate
from streams import extras
from streams.cli.root import run
from streams.model_registry import artifacts
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.recorded import RECORDS, Repeated, recorded
from streams.observe.metrics import Metrics
from streams.store import LocalStore
from streams.trainer import offline
from streams.trainer.attempt import Attempt, attempt
from streams.trainer.metrics import TrainingOutcome
from streams.trainer.offline import FineTuned, OfflineTrainer
from tests.support.versions import LENIENT, TINY

STARTED_MS = 1_900_000_000_000
ADOPT_AFTER = 150
LABELS = {"window_s": 10_800.0}


def settings_with(**trainer: Any) -> Settings:
    fine_tune = TINY["fine_tune"] | trainer.pop("fine_tune", {})
    return load({"labels": LABELS, "trainer": {**TINY, **LENIENT, **trainer, "fine_tune": fine_tune}})


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(Scenario(events=4_000, seed=3))


@pytest.fixture(scope="module")
def evaluated(simulation: Simulation) -> Callable[..., EvaluationReport]:
    def evaluated(
        out: Path, settings: Settings, model_source: ModelSource | None = None, partitions: int = 1
    ) -> EvaluationReport:
        return evaluate(
            simulation.chunks(), settings, out, partitions=partitions, started_ms=STARTED_MS, model_source=model_source
        )

    return evaluated


def trainer_into(out: Path, settings: Settings) -> OfflineTrainer:
    return OfflineTrainer(
        settings, LocalStore(out), adopt_after=ADOPT_AFTER, on_begin=lambda _: None, on_end=lambda _: None
    )


def repeating(folder: Path, settings: Settings) -> Repeated:
    registry, store = recorded(folder)
    return Repeated(registry, LoadedModels(settings, store, registry, Metrics(settings)).get)


def weights(out: Path) -> pa.Table:
    return pq.read_table(out / "weights.parquet")


Trained = tuple[Path, OfflineTrainer, EvaluationReport]


@pytest.fixture(scope="module", params=[1, 3])
def partitions(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def trained(
    partitions: int, evaluated: Callable[..., EvaluationReport], tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    out, settings = tmp_path_factory.mktemp("trained"), settings_with()
    trainer = trainer_into(out, settings)
    return out, trainer, evaluated(out, settings, trainer, partitions)


def test_nets_are_announced_each_going_on_from_the_one_before(trained: Trained) -> None:
    out, trainer, _ = trained
    accepted = [done.version for done in trainer.fine_tuned if done.outcome is TrainingOutcome.ACCEPTED]
    registry, store = recorded(out)
    assert len(accepted) >= 2
    assert [said.version for _, said in sorted(registry[NET].announcements.items())] == accepted
    parents = [artifacts.read_manifest(store, version).parent for version in accepted]
    assert parents == [None, *accepted[:-1]]


def test_every_partition_adopts_at_exactly_the_announced_offset(trained: Trained, partitions: int) -> None:
    out, trainer, report = trained
    rows = weights(out).to_pandas()
    first = rows[rows["revision"] == 0]  # said at the event's own offset
    for partition in range(partitions):
        own = first[first["partition"] == partition]
        expected = np.full(len(own), BUILTIN_MODEL, dtype=object)
        for done in trainer.fine_tuned:
            expected[own["offset"] >= done.offsets[partition]] = done.version
        assert (own["model_version"].to_numpy() == expected).all()
    assert report.rows_by_model == rows["model_version"].astype(str).value_counts().to_dict()
    assert len(report.rows_by_model) >= 3
    under = rows["model_version"] != BUILTIN_MODEL
    assert (rows.loc[~under, "f_influence"] == 0.0).all()
    assert (rows.loc[under & rows["label"].notna(), "f_influence"] != 0.0).mean() > 0.9


def test_a_second_run_announces_the_same_and_says_the_same(
    trained: Trained,
    partitions: int,
    evaluated: Callable[..., EvaluationReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, trainer, _ = trained
    monkeypatch.setattr(evaluation, "BATCH_RECORDS", 97)
    again = trainer_into(tmp_path, settings_with())
    evaluated(tmp_path, settings_with(), again, partitions)

    def essence(done: FineTuned) -> tuple[Any, ...]:
        return done.version, done.offsets, done.samples, done.outcome

    assert [essence(done) for done in again.fine_tuned] == [essence(done) for done in trainer.fine_tuned]
    assert weights(tmp_path).equals(weights(out))


def test_a_withdrawn_net_gives_way_at_the_announced_offset(
    evaluated: Callable[..., EvaluationReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    def second_finds_the_first_harmful(*args: Any, **options: Any) -> Attempt:
        nonlocal attempts
        attempts += 1
        found = attempt(*args, **options)
        if attempts != 2 or found.manifest.gate is None:
            return found
        report = found.manifest.gate.report
        report = report | {"current": report["uniform"] | {"nll": 1e3}}
        return found._replace(manifest=replace(found.manifest, gate=Verdict(False, ("NLL is worse",), report)))

    monkeypatch.setattr(offline, "attempt", second_finds_the_first_harmful)
    trainer = trainer_into(tmp_path, settings_with())
    evaluated(tmp_path, settings_with(), trainer)
    first, second, third = trainer.fine_tuned[:3]
    assert (first.withdrawn, second.outcome, third.outcome) == ((), TrainingOutcome.REFUSED, TrainingOutcome.ACCEPTED)
    assert second.withdrawn
    rows = weights(tmp_path).to_pandas()
    said = rows[rows["revision"] == 0].set_index("offset")["model_version"].astype(str)
    begin, end = second.offsets[0], third.offsets[0]
    assert set(said.loc[first.offsets[0] : begin - 1]) == {first.version}
    assert set(said.loc[begin : end - 1]) == {BUILTIN_MODEL}
    assert said.loc[end:].iloc[0] == third.version
    evaluated(tmp_path / "again", settings_with(), repeating(tmp_path, settings_with()))
    assert weights(tmp_path / "again").equals(weights(tmp_path))


def test_repeating_the_announcements_gives_the_same_rows(
    trained: Trained, partitions: int, evaluated: Callable[..., EvaluationReport], tmp_path: Path
) -> None:
    out, _, _ = trained
    settings = load({"labels": LABELS})  # the trainer's settings are no part of it
    evaluated(tmp_path, settings, repeating(out / "models", settings), partitions)
    assert weights(tmp_path).equals(weights(out))


def test_what_several_partitions_learn_is_put_together_and_one_has_nothing_to_share(
    trained: Trained, partitions: int, evaluated: Callable[..., EvaluationReport], tmp_path: Path
) -> None:
    out, trainer, _ = trained
    registered = recorded(out)[0][PRIORS]
    assert trainer.priors.outcomes.count(TrainingOutcome.ACCEPTED) == len(registered.announcements)
    assert bool(registered.announcements) == (partitions > 1)
    settings = settings_with(priors={"enabled": False})
    model_source = trainer_into(tmp_path, settings)
    evaluated(tmp_path, settings, model_source, partitions)
    assert not model_source.priors.outcomes
    assert weights(tmp_path)["probability"].equals(weights(out)["probability"]) == (partitions == 1)


def test_another_seed_makes_other_nets(
    trained: Trained, partitions: int, evaluated: Callable[..., EvaluationReport], tmp_path: Path
) -> None:
    out, trainer, _ = trained
    settings = settings_with(fine_tune={"seed": 1})
    other = trainer_into(tmp_path, settings)
    evaluated(tmp_path, settings, other, partitions)
    assert {done.version for done in other.fine_tuned}.isdisjoint(done.version for done in trainer.fine_tuned)
    assert not weights(tmp_path)["weight"].equals(weights(out)["weight"])


@pytest.mark.parametrize(
    ("trainer", "outcome", "reason"),
    [
        ({"gate": {"effective_share": 1.0}}, TrainingOutcome.REFUSED, "effective sample size"),
        ({"fine_tune": {"largest_norm": 1e-9}}, TrainingOutcome.EXPLODING_NORM, "norm"),
    ],
    ids=["refused", "given up"],
)
def test_a_candidate_that_is_not_accepted_changes_nothing(
    evaluated: Callable[..., EvaluationReport],
    tmp_path: Path,
    trainer: dict[str, Any],
    outcome: TrainingOutcome,
    reason: str,
) -> None:
    settings = settings_with(**trainer)
    model_source = trainer_into(tmp_path / "trained", settings)
    report = evaluated(tmp_path / "trained", settings, model_source)
    evaluated(tmp_path / "without", settings)
    assert {done.outcome for done in model_source.fine_tuned} == {outcome}
    assert all(reason in " ".join(done.reasons) and not done.offsets for done in model_source.fine_tuned)
    assert report.rows_by_model == {BUILTIN_MODEL: report.rows}
    assert weights(tmp_path / "trained").equals(weights(tmp_path / "without"))
    registry, store = recorded(tmp_path / "trained")
    assert not any(registered.announcements for registered in registry.values())
    kept = artifacts.stored(store)
    assert kept == ([done.version for done in model_source.fine_tuned] if outcome is TrainingOutcome.REFUSED else [])


def test_a_fine_tune_waits_for_new_samples_and_for_enough_of_them(
    evaluated: Callable[..., EvaluationReport], tmp_path: Path
) -> None:
    settings = settings_with(every_samples=300, min_samples=1_400)
    model_source = trainer_into(tmp_path, settings)
    evaluated(tmp_path, settings, model_source)
    sizes = [done.samples for done in model_source.fine_tuned]
    assert sizes[0] >= 1_400
    assert min(np.diff(sizes), default=300) >= 300


def test_a_folder_without_records_or_with_broken_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        recorded(tmp_path)
    (tmp_path / RECORDS).parent.mkdir()
    (tmp_path / RECORDS).write_text('{"key": "net/current"\n')
    for folder in (tmp_path, tmp_path / "models"):
        with pytest.raises(UsageError, match=r"records\.jsonl cannot be read"):
            recorded(folder)


# -- the command


@pytest.fixture(scope="module")
def events(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("events") / "events.parquet"
    pq.write_table(simulation.table(), file)
    return file


def overrides() -> list[str]:
    shape, fine_tune = TINY["shape"], TINY["fine_tune"]
    assert isinstance(shape, dict)
    assert isinstance(fine_tune, dict)
    trainer = {f"trainer.{name}": TINY[name] for name in ("every_samples", "min_samples", "window_samples")}
    trainer |= {f"trainer.shape.{name}": value for name, value in shape.items()}
    trainer |= {f"trainer.fine_tune.{name}": value for name, value in fine_tune.items()}
    trainer |= {f"trainer.gate.{name}": value for name, value in LENIENT["gate"].items()}
    given = trainer | {"labels.window_s": LABELS["window_s"]}
    return [word for name, value in given.items() for word in ("--set", f"{name}={value}")]


def test_the_command_trains_and_repeats(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    common = [*overrides(), "evaluate", str(events)]
    assert run([*common, "--out", str(out), "--trainer", "--adopt-after", "150", "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told == json.loads((out / "report.json").read_text())
    accepted = [done for done in told["fine_tunes"] if done["outcome"] == "accepted"]
    assert accepted
    assert accepted[0]["version"] in told["rows_by_model"]
    for done in told["fine_tunes"]:
        assert f"Fine-tune {done['number']}: accepted as {done['version']}" in printed.err
    assert run([*common, "--out", str(again), "--models", str(out)]) == 0
    assert accepted[0]["version"] in capsys.readouterr().out
    assert weights(again).equals(weights(out))


def test_the_command_says_why_nothing_was_trained(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(events), "--out", str(tmp_path), "--trainer"]) == 0
    assert "No fine-tune was due: trainer.every_samples is 50,000" in capsys.readouterr().err


def test_without_torch_the_command_names_the_extra(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else find(name))
    assert run(["evaluate", str(events), "--out", str(tmp_path / "out"), "--trainer"]) == 2
    assert extras.install_line("worker", "trainer") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_net_ends_the_command(
    events: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, trainer, _ = trained
    damaged = tmp_path / "damaged"
    for file in (out / "models").rglob("*"):
        if file.is_file():
            copy = damaged / file.relative_to(out)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    broken = trainer.fine_tuned[0].version
    (damaged / artifacts.artifact_name(broken)).write_bytes(b"no net")
    assert run(["evaluate", str(events), "--out", str(tmp_path / "out"), "--models", str(damaged)]) == 2
    assert f"announced model {broken} cannot be loaded from {damaged}" in capsys.readouterr().err


def test_announcing_and_repeating_at_once_is_refused(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(events), "--out", str(tmp_path), "--trainer", "--models", str(tmp_path)]
    assert run(arguments) == 2
    assert "choose one" in capsys.readouterr().err
