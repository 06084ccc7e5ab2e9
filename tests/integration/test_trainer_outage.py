"""A trainer whose broker goes and comes back: it waits, reads on, and announces what it then has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.settings import Settings
from tests.brokers import embedded_broker
from tests.models_made import LENIENT, TINY, publish_samples, two_partitions
from tests.topic_io import make_topics
from tests.trainers import line, outcome, running

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


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
            broker.restart()
            publish_samples(made, two_partitions(1200))
            assert outcome(trainer) == "accepted"
            assert line(made).newest == 1
            broker.stop()
            assert trainer.stop(10) == 0  # also while nobody answers
