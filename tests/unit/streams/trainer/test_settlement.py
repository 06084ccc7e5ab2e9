"""What becomes of an attempt that fails."""

from __future__ import annotations

import asyncio

import pytest

from models.errors import ManifestError, NotFiniteLossError, StoppedError
from sie_online.errors import CheckpointError, DecisionError, UnreachableError
from streams.model_registry.announcer import OvertakenError, SupersededError
from streams.trainer.metrics import TrainingOutcome
from streams.trainer.settlement import outcome_of

NOTHING = "nothing new, the old one stays"


def outcome(error: BaseException, *, stopping: bool = False) -> TrainingOutcome | None:
    async def attempt() -> TrainingOutcome | None:
        raise error

    return asyncio.run(outcome_of(attempt(), NOTHING, stopping=lambda: stopping))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OvertakenError("by another"), TrainingOutcome.OVERTAKEN),
        (NotFiniteLossError("a loss"), TrainingOutcome.NOT_FINITE),
        (ManifestError("a manifest"), TrainingOutcome.UNFIT),
        (StoppedError("between two steps"), TrainingOutcome.TOO_LONG),
        (UnreachableError("the store"), TrainingOutcome.UNREACHABLE),
        (CheckpointError("a piece"), TrainingOutcome.UNREACHABLE),
        (DecisionError("other settings"), TrainingOutcome.UNREACHABLE),
        (MemoryError("an array"), TrainingOutcome.OUT_OF_MEMORY),
        (ValueError("ours"), TrainingOutcome.FAULT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whatever_fails_has_a_name_and_is_said(
    error: Exception, expected: TrainingOutcome, caplog: pytest.LogCaptureFixture
) -> None:
    assert outcome(error) == expected
    assert str(error) in caplog.text
    assert NOTHING in caplog.text or expected is TrainingOutcome.OVERTAKEN


def test_what_ends_because_the_trainer_does_is_stopped_and_took_not_too_long() -> None:
    assert outcome(StoppedError("between two steps"), stopping=True) == TrainingOutcome.STOPPED


def test_another_trainer_ends_this_one() -> None:
    with pytest.raises(SupersededError):
        outcome(SupersededError("another trainer"))
