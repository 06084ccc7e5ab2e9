"""One statement, explained in words."""

from __future__ import annotations

import math

import pytest

from sie_online.client.rows import WeightRow, weight_rows
from sie_online.contracts import FACTORS
from streams.observe.page.statement import LOWERS, RAISES, explained, part, reason
from tests.support.rows import weight_batch, weight_row


def row(**values: object) -> WeightRow:
    (found,) = weight_rows(weight_batch(weight_row(7, **values)))
    return found


def test_the_weight_is_the_product_of_its_parts_the_lowest_first() -> None:
    told = explained(row(weight=0.12, f_noise=math.log(0.1), f_normaliser=math.log(1.2), noise_probability=0.95))
    assert [each.factor for each in told.parts] == ["noise", "normaliser"]
    assert math.prod(each.times for each in told.parts) == pytest.approx(told.weight)
    assert told.sentence == (
        "This view counts 0.12 times as much as an average event: it looks like noise rather than interest (P 0.95)."
    )


def test_what_raises_most_is_the_reason_where_nothing_lowers_more() -> None:
    told = explained(row(weight=1.3, f_noise=-0.05, f_normaliser=math.log(1.3) + 0.05))
    assert told.sentence.endswith("weights are brought to a mean of 1, and others weigh less.")


def test_a_plain_event_has_nothing_for_or_against_it() -> None:
    told = explained(row(weight=1.0, label=1, final=True))
    assert (told.parts, told.label, told.final) == ([], "converted", True)
    assert told.sentence.endswith("nothing speaks for or against it.")
    assert explained(row(final=True)).label == "none: it is no sample"


def test_every_factor_has_words_and_an_unknown_one_its_name() -> None:
    assert LOWERS.keys() == RAISES.keys() == set(FACTORS)
    assert part("brand_new", -1.0).why == "factor brand_new"


def test_no_reason_is_given_where_nothing_lowers() -> None:
    assert reason({"noise": 0.0, "guard": 0.3}) is None
    assert reason({}) is None
    found = reason({"noise": -0.5, "guard": -0.7})
    assert found is not None
    assert found.factor == "guard"
