"""What a worker's metrics say of quality and noise is what its published samples and rows say."""

from __future__ import annotations

import asyncio
import math
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.metrics import roc_auc_score

from models.metrics import log_losses
from sie_online.contracts import EVENT_TYPES
from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate
from streams.observe.running_auc import HALF_LIFE
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.workers import SIE_WORKER, WorkerProcess, wait_until_read, worker_pool

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
PARTITIONS = 2
FLOAT32 = 1e-6
"""Relative: published scores are rounded to it, metrics are not."""


class Scrape:
    """What a worker's ``/metrics`` says."""

    def __init__(self, worker: WorkerProcess) -> None:
        url = worker.wait_for(r"web site up url=(\S+)").group(1)
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 - the worker's own
            families = text_string_to_metric_families(answer.read().decode())
        self.samples = [sample for family in families for sample in family.samples]

    def of(self, name: str, **labels: str) -> list[float]:
        """The values of all series that have these labels."""
        return [s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()]

    def one(self, name: str, partition: int, **labels: str) -> float:
        """The value of the only series that has these labels."""
        (value,) = self.of(name, partition=str(partition), **labels)
        return value


def test_quality_and_noise_are_those_of_what_is_published(
    settings: Callable[..., Settings], broker: Broker, tmp_path: Path
) -> None:
    """At full strength what is published is what the weighted twin predicts; of both twins see `test_figures`."""
    began, simulation = time.time(), simulate(Scenario(events=6_000, seed=3))
    made = settings(
        broker=broker.address,
        checkpoint={"interval_s": 0.5},
        topics={"partitions": PARTITIONS},
        labels={"window_s": 6 * 3_600},
        guard={"strength": 1.0},
    )
    topic_io.make_topics(made)
    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(600)  # its kernels may have to be compiled
        idle = Scrape(worker)
        asyncio.run(replay(made, simulation.chunks(), ReplayRate(events_per_s=6_000)))
        wait_until_read(made, worker, 300)
        scrape = worker.until(lambda: _at_rest(Scrape(worker)), "a report without lag", 30)
        assert worker.stop() == 0

    samples = topic_io.read_rows(made, made.topics.samples)
    rows = topic_io.read_rows(made, made.topics.weights)
    for partition in range(PARTITIONS):
        mine = samples.filter(pc.equal(samples["partition"], partition))
        assert 0 < pc.sum(mine["label"]).as_py() < len(mine)
        _check_quality(scrape, partition, mine)
        _check_noise(scrape, partition, rows.filter(pc.equal(rows["partition"], partition)))
        assert began < scrape.one("sie_final_row_timestamp_seconds", partition) < time.time()
        assert scrape.one("sie_model_in_force_info", partition, model="net", version="builtin") == 1
        assert scrape.one("sie_checkpoint_age_seconds", partition) == 0
        assert scrape.one("sie_lag_seconds", partition) == 0
        assert 0 < scrape.one("sie_table_bytes", partition) < scrape.of("sie_table_bytes_limit")[0]
    _check_idle(idle)


def _at_rest(scrape: Scrape) -> Scrape | None:
    """``scrape`` once it tells of a worker that has looked at the log since it has read all of it, and saved that."""
    lag, unsaved, clocks = map(scrape.of, ("sie_lag_records", "sie_checkpoint_age_seconds", "sie_event_time_seconds"))
    return scrape if len(lag) == PARTITIONS and sum(lag) == 0 and sum(unsaved) == 0 and min(clocks) > 0 else None


def _check_quality(scrape: Scrape, partition: int, samples: pa.Table) -> None:
    label, probability = samples["label"].to_numpy(), samples["probability"].to_numpy().astype(np.float64)
    said = {
        "negatives": scrape.one("sie_recommender_samples_total", partition, label="negative"),
        "positives": scrape.one("sie_recommender_samples_total", partition, label="positive"),
        "log loss": scrape.one("sie_recommender_log_loss_total", partition, twin="weighted"),
        "predicted": scrape.one("sie_recommender_predicted_total", partition, twin="weighted"),
    }
    assert said == {
        "negatives": (label == 0).sum(),
        "positives": (label == 1).sum(),
        "log loss": pytest.approx(log_losses(label, probability).sum(), rel=FLOAT32),
        "predicted": pytest.approx(probability.sum(), rel=FLOAT32),
    }
    age = np.arange(len(label))[::-1]
    auc = roc_auc_score(label, probability, sample_weight=0.5 ** (age / HALF_LIFE))
    assert scrape.one("sie_recommender_auc", partition, twin="weighted") == pytest.approx(auc, abs=2e-3)


def _check_noise(scrape: Scrape, partition: int, rows: pa.Table) -> None:
    first = rows.filter(pc.equal(rows["revision"], 0))
    types, noise = first["event_type"].cast(pa.string()).to_numpy(), first["noise_probability"].to_numpy()
    assert (noise > 0.5).any(), "the log has noise in it that is found"
    for name in EVENT_TYPES:
        of_type = noise[types == name].astype(np.float64)
        assert scrape.one("sie_noise_judged_events_total", partition, type=name) == len(of_type)
        assert scrape.one("sie_noisy_events_total", partition, type=name) == (of_type > 0.5).sum()
        total = scrape.one("sie_noise_probability_total", partition, type=name)
        assert total == pytest.approx(math.fsum(of_type), rel=FLOAT32)


def _check_idle(scrape: Scrape) -> None:
    """A worker that has read nothing yet has every series, and nothing in them is wrong."""
    nought = (
        *("sie_recommender_samples_total", "sie_noise_judged_events_total", "sie_events_total", "sie_evictions_total"),
        *("sie_final_row_timestamp_seconds", "sie_checkpoint_age_seconds", "sie_open_views"),
    )
    for name in nought:
        values = scrape.of(name)
        assert len(values) >= PARTITIONS, name
        assert set(values) == {0.0}, name
    assert scrape.of("sie_recommender_auc") == []
    assert scrape.of("sie_assigned_partitions") == [PARTITIONS]
