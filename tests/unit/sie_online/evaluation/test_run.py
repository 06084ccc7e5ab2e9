"""Evaluation without a broker: the tables have the contract's shape, the books balance, and rows repeat bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from sie_online import contracts
from sie_online.errors import UsageError
from sie_online.evaluation import run as evaluation
from sie_online.evaluation.report import EvaluationReport, Progressive
from sie_online.evaluation.run import evaluate
from sie_online.ingest.partitioner import partition_of
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings, load
from sie_online.shard import Shard
from sie_online.simulator import Scenario, Simulation, simulate
from streams.cli.root import run

STARTED_MS = 1_760_000_000_000
PARTITIONS = 3


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(Scenario(events=4_000, seed=11))


@pytest.fixture(scope="module")
def evaluated(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EvaluationReport]:
    out = tmp_path_factory.mktemp("evaluated")
    report = evaluate(simulation.chunks(), Settings(), out, partitions=PARTITIONS, started_ms=STARTED_MS)
    return out, report


def weights(out: Path) -> pa.Table:
    return pq.read_table(out / "weights.parquet")


def test_the_books_balance_and_everything_planted_is_found(
    simulation: Simulation, evaluated: tuple[Path, EvaluationReport]
) -> None:
    _, report = evaluated
    assert report.events_in == len(simulation) + PARTITIONS
    assert report.events_in == report.events_weighted + report.duplicates + report.heartbeats + report.dead_letters
    assert report.events_weighted == simulation.events
    assert report.duplicates == simulation.duplicates
    assert report.heartbeats == PARTITIONS
    assert report.dead_letters == simulation.malformed == sum(report.source.dead_letters_by_reason.values())


def test_weights_have_exactly_the_contracts_columns_in_order_of_identity(
    evaluated: tuple[Path, EvaluationReport],
) -> None:
    rows = weights(evaluated[0])
    assert rows.schema.names == contracts.WEIGHTS.names
    for field in contracts.WEIGHTS:
        found = rows.schema.field(field.name).type
        assert (found.value_type if pa.types.is_dictionary(found) else found) == (
            field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        )
    identity = rows.select(contracts.WEIGHT_KEY).to_pandas()
    assert identity.equals(identity.sort_values(list(contracts.WEIGHT_KEY)))
    assert not identity.duplicated().any()


def test_every_event_is_weighed_once_in_its_users_partition(
    simulation: Simulation, evaluated: tuple[Path, EvaluationReport]
) -> None:
    first = weights(evaluated[0]).filter(pc.field("revision") == 0).to_pandas()
    assert sorted(first["event_id"]) == simulation.truth["event_id"].to_pylist()
    placed = first["user_id"].map(lambda user: partition_of(user.encode(), PARTITIONS))
    assert (placed == first["partition"]).all()


def test_every_sample_ends_with_a_final_label(evaluated: tuple[Path, EvaluationReport]) -> None:
    rows = weights(evaluated[0]).to_pandas()
    last = rows.groupby(["partition", "offset"]).tail(1)
    assert last["final"].all()
    assert last.loc[last["event_type"] == "view", "label"].isin([0, 1]).all()
    assert rows.groupby(["partition", "offset"])["final"].sum().eq(1).all()


def test_scored_are_the_samples_between_the_first_and_the_last_window(
    evaluated: tuple[Path, EvaluationReport],
) -> None:
    table, hour_ms = weights(evaluated[0]), 3_600_000
    parts = [table.filter(pc.field("partition") == number) for number in range(PARTITIONS)]
    report = EvaluationReport(partitions=PARTITIONS, settings_fingerprint="")
    report.conclude([Progressive.of(part) for part in parts], hour_ms)
    rows = table.to_pandas().set_index(["partition", "offset"])
    times, first = rows["event_time_ms"], rows[rows["revision"] == 0]["probability"]
    between = times.between(times.min() + hour_ms, times.max() - hour_ms, inclusive="left")
    label = rows[rows["final"] & rows["label"].notna() & between]["label"].astype(int)
    assert 0 < len(label) < report.samples_matured == evaluated[1].samples_matured
    assert (report.scored.samples, report.scored.positive) == (len(label), label.sum())
    assert report.scored.auc == pytest.approx(roc_auc_score(label, first.loc[label.index]), abs=1e-12)
    assert report.scored.log_loss == pytest.approx(log_loss(label, first.loc[label.index]), rel=1e-9)


def test_predictions_are_the_first_stated_probabilities(evaluated: tuple[Path, EvaluationReport]) -> None:
    out, _ = evaluated
    first = weights(out).filter(pc.field("revision") == 0).select(["event_id", "probability"])
    assert pq.read_table(out / "predictions.parquet").equals(first)


def test_figures_are_those_of_the_tables(evaluated: tuple[Path, EvaluationReport]) -> None:
    out, report = evaluated
    rows = weights(out).to_pandas()
    place = ["partition", "offset"]
    first = rows[rows["revision"] == 0].set_index(place)["probability"]
    matured = rows[rows["final"] & rows["label"].notna()].set_index(place)["label"].astype(int)
    stated = first.loc[matured.index]
    assert report.rows == len(rows)
    assert report.samples_matured == len(matured)
    assert report.samples_positive == matured.sum() > 0
    assert report.auc == pytest.approx(roc_auc_score(matured, stated), abs=1e-12)
    assert report.log_loss == pytest.approx(log_loss(matured, stated), rel=1e-9)
    last = rows.groupby(place)["weight"].last()
    assert report.weight_mean == pytest.approx(last.mean(), rel=1e-12)
    assert report.weight_quantiles["0.5"] == pytest.approx(last.median(), rel=1e-12)


def test_rows_do_not_depend_on_how_records_are_cut(
    simulation: Simulation, evaluated: tuple[Path, EvaluationReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BATCH_RECORDS", 97)
    evaluate(simulation.chunks(), Settings(), tmp_path, partitions=PARTITIONS, started_ms=STARTED_MS)
    assert weights(tmp_path).equals(weights(evaluated[0]))


class Onlooker:
    """A model source that only notes what it is shown."""

    def __init__(self) -> None:
        self.processed: list[int] = []
        self.samples: list[tuple[int, int]] = []

    def heard(self, batch: RecordBatch) -> None:
        """Nothing is learnt from them here."""

    def settled(self, samples: pa.RecordBatch) -> None:
        self.samples += zip(samples["partition"].to_pylist(), samples["offset"].to_pylist(), strict=True)

    def look(self, shards: Sequence[Shard]) -> None:
        self.processed.append(sum(shard.next_offset for shard in shards))


def test_a_coach_sees_every_sample_and_looks_when_all_records_so_far_are_processed(
    simulation: Simulation, evaluated: tuple[Path, EvaluationReport], tmp_path: Path
) -> None:
    onlooker = Onlooker()
    report = evaluate(
        simulation.chunks(), Settings(), tmp_path, partitions=PARTITIONS, started_ms=STARTED_MS, model_source=onlooker
    )
    assert onlooker.processed == list(range(0, len(simulation), evaluation.LOOK_EVERY))
    rows = weights(tmp_path)
    settled = rows.filter(pc.field("final") & pc.field("label").is_valid()).select(["partition", "offset"])
    assert sorted(onlooker.samples) == [tuple(row.values()) for row in settled.to_pylist()]
    assert rows.equals(weights(evaluated[0]))
    assert report.rows_by_model == {"builtin": report.rows}


def test_nothing_but_the_tables_is_left_behind(evaluated: tuple[Path, EvaluationReport]) -> None:
    assert sorted(path.name for path in evaluated[0].iterdir()) == [
        "dead_letters.parquet",
        "predictions.parquet",
        "weights.parquet",
    ]


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no event"):
        evaluate([], Settings(), tmp_path, partitions=1, started_ms=STARTED_MS)


def test_the_command_writes_tables_and_report_and_tells_the_same(
    simulation: Simulation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(simulation.table(), tmp_path / "events.parquet")
    out = tmp_path / "out"
    code = run(["evaluate", str(tmp_path / "events.parquet"), "--out", str(out), "--limit", "1000", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert told == json.loads((out / "report.json").read_text())
    assert (told["events_weighted"], told["heartbeats"], told["partitions"]) == (1_000, 1, 1)
    assert told["events_per_s"] > 0
    assert np.isclose(
        told["weight_mean"], pd.read_parquet(out / "weights.parquet").groupby("offset")["weight"].last().mean()
    )


def test_settings_that_shape_rows_reach_the_shards(
    simulation: Simulation, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    uniform = settings(guard={"strength": 0.0})
    report = evaluate(simulation.chunks(), uniform, tmp_path, partitions=1, started_ms=STARTED_MS)
    assert report.settings_fingerprint == uniform.fingerprint() != Settings().fingerprint()
    assert np.allclose(weights(tmp_path)["weight"].to_numpy(), 1.0)


def test_lists_are_those_of_shards_before_every_event_and_repeat(simulation: Simulation, tmp_path: Path) -> None:
    settings = load({"recommend": {"enabled": True, "list_length": 5}})
    tables = []
    for run_number in range(2):
        out = tmp_path / str(run_number)
        report = evaluate(simulation.chunks(), settings, out, partitions=PARTITIONS, started_ms=STARTED_MS, lists=True)
        tables.append(pq.read_table(out / "recs.parquet"))
    assert tables[0].equals(tables[1])
    assert tables[0].schema.names == ["event_id", "items"]
    assert sorted(tables[0]["event_id"].to_pylist()) == simulation.truth["event_id"].to_pylist()
    listed = tables[0]["items"].to_pylist()
    assert max(map(len, listed)) == 5
    assert all(len(items) == len(set(items)) for items in listed)
    assert report.lists is not None
    assert report.lists.written == simulation.events
    assert 0 < report.lists.cold_share < 1


def test_lists_change_no_row(simulation: Simulation, evaluated: tuple[Path, EvaluationReport], tmp_path: Path) -> None:
    settings = load({"recommend": {"enabled": True}})
    evaluate(simulation.chunks(), settings, tmp_path, partitions=PARTITIONS, started_ms=STARTED_MS, lists=True)
    assert weights(tmp_path).equals(weights(evaluated[0]))


def test_lists_need_a_shard_that_learns_them(simulation: Simulation, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recommend\.enabled"):
        evaluate(simulation.chunks(), Settings(), tmp_path, partitions=1, started_ms=STARTED_MS, lists=True)


def test_the_command_writes_lists_and_says_how_many(simulation: Simulation, tmp_path: Path) -> None:
    source = tmp_path / "events.jsonl"
    values = [record.value for record in simulation.records() if record.value and record.value.startswith(b"{")]
    source.write_bytes(b"\n".join(values[:300]))
    assert run(["evaluate", str(source), "--out", str(tmp_path / "out"), "--recs", "--partitions", "2"]) == 0
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (
        document["lists"]["written"]
        == document["events_weighted"]
        == pq.read_metadata(tmp_path / "out" / "recs.parquet").num_rows
    )
    assert run(["evaluate", str(source), "--out", str(tmp_path / "plain")]) == 0
    assert "lists" not in json.loads((tmp_path / "plain" / "report.json").read_text())
    assert not (tmp_path / "plain" / "recs.parquet").exists()
