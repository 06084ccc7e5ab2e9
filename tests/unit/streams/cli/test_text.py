"""What the reading commands print: harmless, aligned, and --since as people write it."""

from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.client.reader import Span
from sie_online.client.rows import Source, read_batch, weight_rows
from sie_online.contracts import WEIGHTS
from sie_online.errors import UsageError
from sie_online.moments import moment
from streams.cli.explain import parse_since
from streams.cli.tail import share_read
from streams.cli.text import EXCERPT_BYTES, Column, excerpt, figure, ratio
from streams.tools.explanation import shares
from tests.support.rows import weight_message, weight_row

NOW = datetime.datetime(2030, 1, 31, 12, tzinfo=datetime.UTC)


@given(st.binary(max_size=1000))
def test_an_excerpt_is_short_and_harmless(value: bytes) -> None:
    text = excerpt(value)
    assert text is not None
    assert all(char.isprintable() for char in text)
    assert len(text) <= 10 * EXCERPT_BYTES + 1


def test_an_excerpt_of_null_is_null() -> None:
    assert excerpt(None) is None


@pytest.mark.parametrize("text", ["", "short", "exactly ten", "much longer than ten cells", "日本語の長い識別子です"])
def test_a_column_is_as_wide_as_it_says(text: str) -> None:
    column = Column("title", 10, lambda row: row["text"])
    assert column.cell({"text": text}).cell_len == 10
    assert column.heading().cell_len == 10


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (0.12345, "0.123"), (1e-5, "1.0e-05"), (12345.6, "12346"), (None, "·"), (math.nan, "·")],
)
def test_figures_are_short(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_a_ratio_of_nothing_is_a_dot() -> None:
    assert (ratio(1.0, 0), ratio(None, 2), ratio(1.0, 4)) == ("·", "·", "0.250")


def test_a_moment_beyond_any_calendar_is_a_number() -> None:
    assert moment(1_700_000_000_999) == "2023-11-14 22:13:20"
    assert moment(2**62) == f"{2**62} ms"


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("earliest", 0),
        ("1234", 1234),
        ("90s", NOW - datetime.timedelta(seconds=90)),
        ("1.5h", NOW - datetime.timedelta(minutes=90)),
        ("7d", NOW - datetime.timedelta(days=7)),
        ("2030-01-31T11:00", NOW - datetime.timedelta(hours=1)),
        ("2030-01-31T11:00+01:00", NOW - datetime.timedelta(hours=2)),
    ],
)
def test_since_reads_ages_times_and_offsets(text: str, begin: datetime.datetime | int) -> None:
    assert parse_since(text, NOW) == begin


@pytest.mark.parametrize("text", ["", "yesterday", "-1h", "1y", "h"])
def test_since_refuses_the_rest(text: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        parse_since(text, NOW)


def test_shares_add_up_whatever_the_signs() -> None:
    message = weight_message(weight_row(f_noise=-0.75, f_delay=0.25))
    (row,) = weight_rows(read_batch(message, Source("topic", 0, 0), WEIGHTS))
    assert shares(row)["noise"] == 0.75
    assert sum(shares(row).values()) == 1.0


def test_shares_of_a_weight_without_parts_are_zero() -> None:
    (row,) = weight_rows(read_batch(weight_message(weight_row()), Source("topic", 0, 0), WEIGHTS))
    assert set(shares(row).values()) == {0.0}


def test_the_share_read_goes_from_nothing_to_all() -> None:
    spans = {0: Span(0, 10), 1: Span(5, 15)}
    begins = {0: 0, 1: 5}
    assert share_read(begins, begins, spans) == 0.0
    assert share_read(begins, {0: 10, 1: 5}, spans) == 0.5
    assert share_read(begins, {0: 20, 1: 15}, spans) == 1.0
    assert share_read({0: 3}, {0: 3}, {0: Span(3, 3)}) == 1.0
