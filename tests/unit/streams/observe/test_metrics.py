"""What Prometheus is told: conventional names, bounded labels, figures that add up."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sie_online.contracts import CODE_VERSION
from sie_online.ingest.events import Reason
from sie_online.settings import Settings, load
from sie_online.shard import Shard
from streams.observe.histograms import BulkHistogram
from streams.observe.metrics import Metrics
from tests.support.metrics import VERSION, busy, judged, noise, stats
from tests.support.requirements import PROMETHEUS, need


@pytest.fixture
def metrics(settings: Callable[..., Settings]) -> Metrics:
    return Metrics(settings())


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def series(metrics: Metrics) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def test_events_in_are_accounted_for_by_type_and_outcome(metrics: Metrics) -> None:
    busy(metrics)
    assert value(metrics, "sie_events_total", partition="0", type="view", outcome="weighted") == 90
    assert value(metrics, "sie_events_total", partition="0", type="view", outcome="duplicate") == 1
    assert value(metrics, "sie_events_total", partition="0", type="heartbeat", outcome="heartbeat") == 2
    assert value(metrics, "sie_events_total", partition="0", type="unknown", outcome="dead_letter") == 1
    total = sum(s.value for f in metrics.registry.collect() for s in f.samples if s.name == "sie_events_total")
    assert total == 100


def test_every_figure_told_is_there_to_be_scraped(metrics: Metrics) -> None:
    busy(metrics)
    told = {
        "sie_lag_records": 17,
        "sie_lag_seconds": 2.5,
        "sie_checkpoint_age_seconds": 1.5,
        "sie_final_row_timestamp_seconds": 1_700_000_000,
        "sie_table_bytes": 1_024,
        "sie_epoch": 3,
        "sie_open_views": 7,
        "sie_event_time_seconds": 5,
        "sie_effective_sample_ratio": 0.5,
        "sie_guard_strength": 0.25,
        "sie_guard_judged_views": 11,
        "sie_checkpoint_bytes_total": 4_096,
        "sie_consumed_bytes_total": 12_345,
        "sie_published_rows_total": 96,
        "sie_weight_count": 96,
    }
    assert {name: value(metrics, name, partition="0") for name in told} == told
    assert value(metrics, "sie_guard_log_evidence", partition="0", side="harm") == 1.5
    assert value(metrics, "sie_entity_slots", partition="0", kind="user") == 3
    assert value(metrics, "sie_entity_slots_limit", kind="user") == 1 << 16
    assert value(metrics, "sie_stage_seconds_sum", stage="publish") == 0.02
    assert value(metrics, "sie_dead_letters_total", reason="bad_json") == 1
    assert value(metrics, "sie_dead_letters_total", reason="bad_id") == 0
    assert value(metrics, "sie_unacked_bytes") == 99
    assert value(metrics, "sie_assigned_partitions") == 1
    assert value(metrics, "sie_event_to_publish_seconds_bucket", le="0.25") == 0
    assert value(metrics, "sie_event_to_publish_seconds_bucket", le="0.5") == 96
    assert value(metrics, "sie_weight_bucket", partition="0", le="1.0") == 96
    assert value(metrics, "sie_build_info", version=CODE_VERSION) == 1
    assert (value(metrics, "process_resident_memory_bytes") or 0) > 1e6


def test_unsaved_work_ages_between_two_scrapes(metrics: Metrics) -> None:
    seconds = 0.0
    metrics.set_epoch(1, 1)
    assert value(metrics, "sie_checkpoint_age_seconds", partition="1") == 0
    metrics.watch_unsaved(1, lambda: seconds)
    seconds = 3.0
    assert value(metrics, "sie_checkpoint_age_seconds", partition="1") == 3


def test_all_series_of_a_partition_are_there_from_its_assignment_on(metrics: Metrics) -> None:
    metrics.set_epoch(0, 3)
    metrics.observe_shard(0, stats())
    before = series(metrics)
    busy(metrics)
    appeared = {name for name, labels in series(metrics) - before if ("partition", "0") in labels}
    unknown_until_asked = {"sie_lag_records", "sie_lag_seconds"}
    undefined_until_both_labels_were_seen = {"sie_recommender_auc"}
    of_another_version = {"sie_model_in_force_info"}
    assert appeared == unknown_until_asked | undefined_until_both_labels_were_seen | of_another_version


def test_a_partition_that_is_kept_through_a_rebalance_keeps_its_figures(metrics: Metrics) -> None:
    busy(metrics)
    before = {(s.name, *s.labels.items()): s.value for f in metrics.registry.collect() for s in f.samples}
    metrics.set_epoch(0, 4)
    after = {(s.name, *s.labels.items()): s.value for f in metrics.registry.collect() for s in f.samples}
    moved = {key[0] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert {name for name in moved if name.startswith("sie_")} - {"sie_thread_cpu_seconds_total"} == {"sie_epoch"}


def test_both_twins_are_judged_by_the_same_samples(metrics: Metrics) -> None:
    metrics.set_epoch(0, 1)
    metrics.observe_quality(0, judged([0, 1, 0], [0.5, 0.5, 0.0], [0.25, 1.0, 0.25]), noise(0, 0.0, 0))

    def of(name: str, **labels: str) -> float | None:
        return value(metrics, f"sie_recommender_{name}", partition="0", **labels)

    assert (of("samples_total", label="negative"), of("samples_total", label="positive")) == (2, 1)
    assert of("log_loss_total", twin="uniform") == pytest.approx(2 * math.log(2) + 1e-6)
    assert of("log_loss_total", twin="weighted") == pytest.approx(-2 * math.log(0.75) + 1e-6)
    assert (of("predicted_total", twin="uniform"), of("predicted_total", twin="weighted")) == (1.0, 1.5)
    assert of("auc", twin="uniform") == pytest.approx(0.75, abs=1e-3), "it says .5 of one negative as of the positive"
    assert of("auc", twin="weighted") == 1.0


def test_there_is_no_auc_of_one_label(metrics: Metrics) -> None:
    metrics.set_epoch(0, 1)
    metrics.observe_quality(0, judged([0, 0], [0.5, 0.4], [0.5, 0.4]), noise(0, 0.0, 0))
    assert value(metrics, "sie_recommender_auc", partition="0", twin="uniform") is None
    metrics.observe_quality(0, judged([1], [0.45], [0.45]), noise(0, 0.0, 0))
    assert value(metrics, "sie_recommender_auc", partition="0", twin="uniform") == pytest.approx(0.5, abs=1e-3)


def test_what_is_confirmed_after_the_revocation_brings_no_gauge_back(metrics: Metrics) -> None:
    busy(metrics)
    metrics.revoke(0)
    metrics.observe_quality(0, judged([0, 1], [0.1, 0.2], [0.1, 0.2]), noise(2, 0.5, 0))
    assert value(metrics, "sie_recommender_auc", partition="0", twin="uniform") is None
    assert value(metrics, "sie_recommender_samples_total", partition="0", label="positive") == 2


def test_noise_is_counted_by_event_type(metrics: Metrics) -> None:
    metrics.set_epoch(0, 1)
    for _ in range(2):
        metrics.observe_quality(0, judged([], [], []), noise(10, 1.5, 1))
    figures = ("sie_noise_judged_events_total", "sie_noise_probability_total", "sie_noisy_events_total")
    assert [value(metrics, name, partition="0", type="view") for name in figures] == [20, 3.0, 2]
    assert [value(metrics, name, partition="0", type="purchase") for name in figures] == [0, 0, 0]


def test_a_model_has_one_version_in_force(metrics: Metrics) -> None:
    metrics.set_epoch(0, 1)

    def versions() -> dict[str, float]:
        found = [s for f in metrics.registry.collect() for s in f.samples if s.name == "sie_model_in_force_info"]
        return {s.labels["version"]: s.value for s in found if s.labels["model"] == "net"}

    assert versions() == {"builtin": 1}
    metrics.set_in_force(0, "net", 3, VERSION, 1_500_000_000_000)
    assert versions() == {VERSION: 1}
    assert value(metrics, "sie_model_in_force_timestamp_seconds", partition="0", model="net") == 1_500_000_000
    assert value(metrics, "sie_model_adopted", partition="0", model="net") == 3
    metrics.revoke(0)
    assert versions() == {}
    metrics.set_epoch(0, 2)
    assert versions() == {"builtin": 1}


def test_evictions_count_on_when_a_shard_is_put_up_anew(metrics: Metrics) -> None:
    metrics.set_epoch(0, 1)
    for evictions in (0, 5, 5, 9, 2, 3):  # from the store again after the 9
        metrics.observe_shard(0, stats(evictions=evictions))
    assert value(metrics, "sie_evictions_total", partition="0", kind="user") == 9 + 3
    metrics.revoke(0)
    metrics.set_epoch(0, 2)
    metrics.observe_shard(0, stats(evictions=4))
    assert value(metrics, "sie_evictions_total", partition="0", kind="user") == 9 + 3 + 4


def test_a_lag_that_nobody_knows_has_no_series(metrics: Metrics) -> None:
    busy(metrics)
    metrics.forget_lag()
    assert value(metrics, "sie_lag_records", partition="0") is None
    assert value(metrics, "sie_lag_seconds", partition="0") is None


def test_limits_are_those_of_the_tables() -> None:
    limited = load({"entities": {"users": 100}, "labels": {"max_open_views": 1 << 12}})
    metrics, shard = Metrics(limited), Shard(limited, 0)
    assert value(metrics, "sie_entity_slots_limit", kind="user") == 128, "tables are rounded up"
    assert value(metrics, "sie_open_views_limit") == 1 << 12
    limit = value(metrics, "sie_table_bytes_limit") or 0
    assert shard.stats().table_bytes < limit / 100
    shard.close()


def test_a_revoked_partition_leaves_no_gauge_behind_and_keeps_its_counts(metrics: Metrics) -> None:
    busy(metrics, 0)
    busy(metrics, 5)
    before = {name for name, labels in series(metrics) if ("partition", "5") in labels}
    metrics.revoke(5)
    metrics.revoke(77)  # never ours
    left = {name for name, labels in series(metrics) if ("partition", "5") in labels}
    assert left == {name for name in before if name.endswith("_total")}
    assert value(metrics, "sie_lag_records", partition="0") == 17


HOSTILE = ["\n# EOF", 'x"} 1', "", "ü" * 1000, "bad json", "BAD_JSON", "None", "../..", "1e3", "other"]


def test_the_trainers_restarts_are_read_at_every_scrape(metrics: Metrics) -> None:
    assert value(metrics, "sie_trainer_restarts_total") is None  # a worker without a trainer has no such figure
    restarts = 0
    metrics.watch_trainer(lambda: restarts)
    assert value(metrics, "sie_trainer_restarts_total") == 0
    restarts = 3
    assert value(metrics, "sie_trainer_restarts_total") == 3
    assert b"# TYPE sie_trainer_restarts_total counter" in generate_latest(metrics.registry)


def test_no_input_can_add_series(metrics: Metrics) -> None:
    """Label values are closed sets: a hostile producer cannot fill Prometheus's memory."""
    busy(metrics)
    metrics.dead_letter("something new")
    metrics.observe_stage("something new", 1.0)
    metrics.observe_shard(0, stats({"user": 1, "something new": 1}))
    metrics.set_lag(10**6, 1)
    bounded = len(series(metrics))
    for n in range(300):
        for text in [*HOSTILE, f"made-up-{n}"]:
            metrics.dead_letter(text)
            metrics.observe_batch(0, 1, 1, {text: 0.1})
            metrics.observe_shard(0, stats({text: 1, "user": 1}))
        metrics.set_lag(10**6 + n, 1)
        metrics.set_lag(-1 - n, 1)
        metrics.set_lag(f"{n}'; drop", 1)  # type: ignore[arg-type]
    assert len(series(metrics)) == bounded
    assert value(metrics, "sie_dead_letters_total", reason="other") == 300 * (len(HOSTILE) + 1) + 1


def test_all_reasons_of_all_event_types_are_known(metrics: Metrics) -> None:
    for reason in Reason:
        metrics.dead_letter(reason)
        metrics.dead_letter(str(reason))
        assert value(metrics, "sie_dead_letters_total", reason=str(reason)) == 2
    assert value(metrics, "sie_dead_letters_total", reason="other") is None


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -float("inf"), -3.0])
def test_impossible_durations_spoil_no_histogram(metrics: Metrics, nonsense: float) -> None:
    metrics.observe_output(0, 5, nonsense, 0.1)
    metrics.observe_output(0, 0, 1.0, 0.1)
    metrics.observe_output(0, 5, 1.0, 0.1)
    assert value(metrics, "sie_event_to_publish_seconds_sum") in (5.0, None)
    assert value(metrics, "sie_event_to_publish_seconds_count") in (5.0, 10.0)


def test_two_workers_in_one_process_do_not_share_figures(settings: Callable[..., Settings]) -> None:
    one, other = Metrics(settings()), Metrics(settings())
    busy(one)
    assert value(other, "sie_lag_records", partition="0") is None


def test_the_last_bucket_edge_belongs_to_its_bucket_and_the_rest_is_open() -> None:
    registry = CollectorRegistry()
    histogram = BulkHistogram("x_seconds", "X.", (1, 2), ("a",), registry)
    for seconds, times in ((1.0, 2), (1.5, 3), (2.0, 5), (9.0, 7)):
        histogram.observe(seconds, times, ("v",))
    read = {le: registry.get_sample_value("x_seconds_bucket", {"a": "v", "le": le}) for le in ("1.0", "2.0", "+Inf")}
    assert read == {"1.0": 2, "2.0": 10, "+Inf": 17}
    assert registry.get_sample_value("x_seconds_sum", {"a": "v"}) == 2 + 4.5 + 10 + 63
    with pytest.raises(ValueError, match="3 buckets, not 2"):
        histogram.replace([1, 2], 0.0, ("v",))


def test_names_are_registered_once() -> None:
    registry = CollectorRegistry()
    BulkHistogram("x_seconds", "X.", (1,), (), registry)
    with pytest.raises(ValueError, match="Duplicated"):
        BulkHistogram("x_seconds", "X.", (1,), (), registry)


def test_promtool_finds_nothing_to_say(metrics: Metrics) -> None:
    need("promtool", install=PROMETHEUS)
    busy(metrics)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(metrics.registry), capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
