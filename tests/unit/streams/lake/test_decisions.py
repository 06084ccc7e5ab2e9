"""A sink goes on where its table ends, or refuses in a sentence that says what to do."""

from __future__ import annotations

import pytest

from sie_online.client.reader import Span
from sie_online.errors import DecisionError, UsageError
from streams.lake.decisions import check_same, check_topic, positions
from streams.lake.marks import Mark
from streams.lake.port import ALL, FINAL, Held
from tests.support.lakes import TOPIC, about

URL = "file:///data/lake/weights"


def _held(**offsets: int) -> Held:
    marks = {int(name[1:]): Mark(offset) for name, offset in offsets.items()}
    return Held(TOPIC, "an-id", FINAL, marks)


def test_it_goes_on_at_the_tables_end_and_reads_new_partitions_from_their_begin() -> None:
    spans = {0: Span(3, 20), 1: Span(0, 9), 2: Span(4, 4)}
    assert positions(_held(p0=7, p1=9), spans, URL, accept_gap=False) == {0: 7, 1: 9, 2: 4}


def test_deleted_messages_are_a_persons_decision() -> None:
    with pytest.raises(DecisionError, match=r"deleted 3 messages.*--accept-gap"):
        positions(_held(p0=4), {0: Span(7, 20)}, URL, accept_gap=False)
    assert positions(_held(p0=4), {0: Span(7, 20)}, URL, accept_gap=True) == {0: 7}


@pytest.mark.parametrize("accept_gap", [False, True])
def test_another_log_is_refused_whatever_was_accepted(accept_gap: bool) -> None:
    with pytest.raises(DecisionError, match=r"its log ends at 5.*another --to"):
        positions(_held(p0=9), {0: Span(0, 5)}, URL, accept_gap=accept_gap)
    with pytest.raises(DecisionError, match="has no partition 1"):
        positions(_held(p1=9), {0: Span(0, 5)}, URL, accept_gap=accept_gap)


def test_another_topic_under_the_same_name_is_refused_where_brokers_tell_ids() -> None:
    with pytest.raises(DecisionError, match="deleted and made again"):
        check_topic(_held(), "another-id", URL)
    for known in ("an-id", ""):
        check_topic(_held(), known, URL)


def test_a_table_of_something_else_is_left_alone() -> None:
    with pytest.raises(UsageError, match="rows of topic another"):
        check_same(Held("another", "", FINAL), about(), URL)
    with pytest.raises(UsageError, match="begun with --final-only"):
        check_same(_held(), about(ALL, "an-id"), URL)
    check_same(_held(), about(FINAL, "an-id"), URL)
