"""The sentence of a trainer's page."""

from __future__ import annotations

from typing import Any

import pytest

from streams.observe.page.trainer import Passes, TrainerFacts, trainer_state

NOW = 1_795_716_900.0  # 2026-11-26T18:15:00Z


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {"broker_up": False, "last_answer": NOW - 725, "announcer": False},
            "outage: The broker kafka-1:9092 has not answered since 18:02 UTC (12 min).",
        ),
        ({"announcer": False, "caught_up": False}, "starting: Starting: reading what was announced."),
        ({"caught_up": False}, "reading: Reading the settled samples that there are."),
        (
            {"passes": Passes(running_s=130.0, done=2, of=6, loss=0.3125)},
            "training: Fine-tuning for 2 min: 2 of 6 passes done, loss 0.3125.",
        ),
        (
            {"passes": Passes(running_s=3.0, done=0, of=6, loss=0.5), "noise_running_s": 61.0},
            "training: Fine-tuning for 3 s: 0 of 6 passes done; fitting the noise model for 61 s.",
        ),
        ({"noise_running_s": 61.0}, "training: Fitting the noise model for 61 s."),
        ({}, "waiting: Nothing to do: no samples have settled since the last fine-tune."),
        (
            {"fresh": 1_234, "every_samples": 50_000, "every_s": 900.0},
            "waiting: Waiting: 1,234 new samples since the last fine-tune; the next comes at 50,000, or 15 min after "
            "the last.",
        ),
    ],
)
def test_the_trainer_says_what_it_does(facts: dict[str, Any], expected: str) -> None:
    told = trainer_state(TrainerFacts(now=NOW, broker="kafka-1:9092", **facts))
    assert f"{told.name}: {told.sentence}" == expected
