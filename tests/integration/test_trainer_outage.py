"""A trainer whose broker goes and comes back: it says so, waits, reads on, and announces what it then has."""

from __future__ import annotations

import asyncio
import json
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from streams.trainer.intake import Intake
from streams.trainer.metrics import TrainerMetrics
from tests.support.brokers import embedded_broker, free_ports
from tests.support.topic_io import make_topics
from tests.support.trainers import outcome, page, registered_net, running
from tests.support.versions import LENIENT, TINY, publish_samples, two_partitions
from tests.support.workers import WorkerProcess

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


def _unready(trainer: WorkerProcess) -> object:
    """Why it is not ready; None where it is, or has nothing to say."""
    try:
        return json.loads(page(trainer, "/readyz")).get("reason")
    except urllib.error.HTTPError as error:
        return json.loads(error.read()).get("reason")


def test_an_outage_past_its_limit_ends_the_reading_of_samples(settings: Callable[..., Settings]) -> None:
    nobody = settings(broker=f"127.0.0.1:{free_ports()[0]}", kafka={"outage_limit_s": 0.1})
    with pytest.raises(UnreachableError, match=r"longer than kafka\.outage_limit_s"):
        asyncio.run(Intake(nobody, TrainerMetrics()).run())


def test_a_broker_that_is_away_for_a_while_ends_no_trainer(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with embedded_broker(tmp_path / "broker") as broker:
        made = settings(
            broker=broker.address,
            topics={"partitions": 2},
            trainer=TINY | LENIENT,
            kafka={"request_timeout_s": 5.0},
        )
        make_topics(made)
        with running(made, tmp_path) as trainer:
            trainer.wait_for("samples read")
            broker.stop()
            reason = str(trainer.until(lambda: _unready(trainer), "reason in /readyz", 15))
            assert reason.startswith(f"broker {made.broker} has not answered since 2")
            assert json.loads(page(trainer, "/healthz"))["alive"]
            assert "sie_broker_up 0.0" in page(trainer, "/metrics")
            broker.start()
            trainer.until(lambda: _unready(trainer) is None, "readiness", 30)
            publish_samples(made, two_partitions(1200))
            assert outcome(trainer) == "accepted"
            assert registered_net(made).newest == 1
            broker.stop()
            assert trainer.stop(10) == 0  # also while nobody answers
