"""Who was weighed down most, and why."""

from __future__ import annotations

import math
from typing import Any

import pytest

from streams.observe.page.lowest import BUCKET_S, BUCKETS, SHOWN, Lowest
from tests.support.rows import weight_batch, weight_row

AT = 1_000.0


def low(offset: int, weight: float, user: str = "bot", item: str = "pushed", **values: Any) -> dict[str, Any]:
    """A statement of this ``weight``, all of it by factor noise unless ``values`` say so."""
    factors = {"f_noise": math.log(weight)} if not any(name.startswith("f_") for name in values) else {}
    return weight_row(offset, weight=weight, user_id=user, item_id=item, noise_probability=0.9, **factors, **values)


def test_those_that_lost_most_weight_come_first_with_their_reason() -> None:
    lowest = Lowest()
    rows = [low(n, 0.1) for n in range(10)] + [low(10 + n, 0.01, user="slip") for n in range(2)]
    rows += [weight_row(90 + n, weight=1.1, user_id="person") for n in range(20)]
    lowest.take(weight_batch(*rows), AT)
    bot, slip = lowest.most("user", AT)
    assert (bot.id, bot.events, slip.id, slip.events) == ("bot", 10, "slip", 2)
    assert (bot.weight, bot.taken_off, bot.noise_probability) == pytest.approx((0.1, 9.0, 0.9))
    assert (bot.factor, bot.times) == ("noise", pytest.approx(0.1))
    assert "noise" in bot.why
    (item,) = lowest.most("item", AT)
    assert (item.id, item.events) == ("pushed", 12)


def test_the_factor_that_lowers_most_is_the_reason() -> None:
    lowest = Lowest()
    lowest.take(weight_batch(low(0, 0.2, f_noise=-0.1, f_balance=math.log(0.2) - 0.9, f_normaliser=1.0)), AT)
    (bot,) = lowest.most("user", AT)
    assert bot.factor == "balance"
    lowest = Lowest()
    lowest.take(weight_batch(low(0, 0.2, f_normaliser=0.0)), AT)
    assert [(each.factor, each.why) for each in lowest.most("user", AT)] == [("", "")]


def test_an_event_counts_once_and_only_if_it_weighs_less_than_half() -> None:
    lowest = Lowest()
    lowest.take(weight_batch(low(0, 0.1, revision=1), low(1, 0.5), low(2, 0.49)), AT)
    assert [each.events for each in lowest.most("user", AT)] == [1]


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    lowest = Lowest()
    lowest.take(weight_batch(low(0, 0.1, user="old")), AT)
    lowest.take(weight_batch(low(1, 0.1, user="new")), AT + BUCKET_S)
    assert [each.id for each in lowest.most("user", AT + BUCKETS * BUCKET_S - 1)] == ["new", "old"]
    assert [each.id for each in lowest.most("user", AT + BUCKETS * BUCKET_S)] == ["new"]
    assert lowest.most("user", AT + 3 * BUCKETS * BUCKET_S) == []


def test_few_are_shown_however_many_there_are() -> None:
    lowest = Lowest()
    for lot in range(5):
        lowest.take(weight_batch(*(low(n, 0.2, user=f"u{lot}-{n}") for n in range(900))), AT + 30 * lot)
        lowest.take(weight_batch(*(low(n, 0.01) for n in range(40))), AT + 30 * lot)
    shown = lowest.most("user", AT + 200)
    assert len(shown) == SHOWN
    assert (shown[0].id, shown[0].events) == ("bot", 200)


def test_an_id_is_one_harmless_line() -> None:
    lowest = Lowest()
    lowest.take(weight_batch(low(0, 0.1, user="a\n\u202eb" + "x" * 500)), AT)
    (bot,) = lowest.most("user", AT)
    assert bot.id.startswith("a\\n\\u202eb")
    assert len(bot.id) == 65
