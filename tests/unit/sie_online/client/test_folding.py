"""A log's repetitions: one line a minute for each cause, how many there were, and nothing else held back."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.client.folding import EVERY_S, KEPT, Folding, fold_library


class FoldedLog:
    """A folded log whose clock is ours; ``lines`` are what passed."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.lines: list[str] = []
        self._folding = Folding(lambda: self.now)

    def say(
        self, template: str, *args: object, name: str = "aiokafka", level: int = logging.ERROR, **extra: object
    ) -> bool:
        """Log a line; whether it passed."""
        record = logging.makeLogRecord({"name": name, "levelno": level, "msg": template, "args": args} | extra)
        passed = self._folding.filter(record)
        if passed:
            self.lines.append(record.getMessage())
        return passed


def test_a_cause_that_repeats_is_told_once_a_minute_with_how_many_there_were() -> None:
    log = FoldedLog()
    for second in range(120):
        log.now = 1_000.0 + second
        for node in range(90):
            log.say("Unable connect to node with id %s: 100%% lost", node)
    log.now += EVERY_S
    log.say("Unable connect to node with id %s: 100%% lost", 7)

    first, second, third = log.lines
    assert first == "Unable connect to node with id 0: 100% lost"
    assert second == f"Unable connect to node with id 0: 100% lost [and {60 * 90 - 1} more like it]"
    assert third == f"Unable connect to node with id 7: 100% lost [and {60 * 90 - 1} more like it]"


def test_numbers_in_a_librarys_template_make_no_other_cause() -> None:
    log = FoldedLog()
    assert log.say("correlation id 17 does not match")
    assert not log.say("correlation id 18 does not match")


@pytest.mark.parametrize(
    "other",
    [
        {"template": "another template"},
        {"name": "aiokafka.conn"},
        {"level": logging.WARNING},
        {"exc_info": (ValueError, ValueError("another error"), None)},
    ],
    ids=str,
)
def test_another_cause_is_told_at_once(other: dict[str, object]) -> None:
    log = FoldedLog()
    said = {"template": "Task exception was never retrieved", "exc_info": (ValueError, ValueError("one"), None)}
    assert log.say(**said)  # type: ignore[arg-type]
    assert not log.say(**said)  # type: ignore[arg-type]
    assert log.say(**(said | other))  # type: ignore[arg-type]


def test_of_our_own_lines_only_those_that_say_the_very_same_are_folded() -> None:
    log = FoldedLog()
    assert log.say("adopted late at %s", 17, name="streams.worker.adoption", partition=0)
    assert log.say("adopted late at %s", 18, name="streams.worker.adoption", partition=0)
    assert log.say("adopted late at %s", 17, name="streams.worker.adoption", partition=1)
    assert not log.say("adopted late at %s", 17, name="streams.worker.adoption", partition=0)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.CRITICAL])
def test_progress_and_last_words_are_never_folded(level: int) -> None:
    log = FoldedLog()
    assert all(log.say("worker ends", level=level) for _ in range(3))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 50)), max_size=60))
def test_every_line_is_told_or_counted(said: list[tuple[str, float]]) -> None:
    log = FoldedLog()
    held_back: Counter[str] = Counter()
    for cause, later in said:
        log.now += later
        if log.say(cause):
            assert log.lines[-1] == cause + (f" [and {held_back[cause]} more like it]" if held_back[cause] else "")
            held_back[cause] = 0
        else:
            held_back[cause] += 1


def test_what_it_remembers_is_bounded() -> None:
    log = FoldedLog()
    for number in range(2 * KEPT):
        assert log.say("".join(chr(ord("a") + int(digit)) for digit in str(number)))
    assert len(log._folding._causes) == KEPT


def test_a_library_is_folded_for_whatever_logs_the_process_has(caplog: pytest.LogCaptureFixture) -> None:
    speaker = logging.getLogger("some_library.part")
    fold_library("some_library")
    fold_library("some_library")
    for _ in range(5):
        speaker.error("away")
        logging.getLogger("some_library_of_others").error("mine")
    assert [record.getMessage() for record in caplog.records].count("away") == 1
    assert [record.getMessage() for record in caplog.records].count("mine") == 5
