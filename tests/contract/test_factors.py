"""Every factor passes every check, and a factor that should not does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sie_online.contracts import FACTORS, RAW_FACTORS
from sie_online.importance.factor import Factor, Learned, Moment, Need
from sie_online.importance.factors import RAW
from sie_online.jit import kernel
from tests.contract.factor_contract import (
    CHECKS,
    Checked,
    check_asked_twice_it_says_the_same,
    check_bounded_and_finite,
    check_it_changes_only_with_what_it_needs,
    check_it_is_documented,
    check_it_is_on_where_settings_say_so,
)


@pytest.mark.parametrize("name", RAW_FACTORS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_factor(check: Callable[[Checked], None], name: str) -> None:
    check(Checked(name, RAW[name]))


def test_raw_factors_come_in_the_order_of_their_columns() -> None:
    assert [name for name in FACTORS if name in RAW] == list(RAW)


@kernel
def _unbounded(cfg: Any, learned: Learned, moment: Moment) -> float:
    return 100.0 * moment.probability


@kernel
def _counts_questions(cfg: Any, learned: Learned, moment: Moment) -> float:
    learned.population.grouped += 1.0
    return learned.population.grouped


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (check_bounded_and_finite, Checked("delay", replace(RAW["delay"], log_weight=_unbounded))),
        (check_asked_twice_it_says_the_same, Checked("delay", replace(RAW["delay"], log_weight=_counts_questions))),
        (check_it_changes_only_with_what_it_needs, Checked("balance", replace(RAW["balance"], needs=Need.EVENT))),
        (check_it_is_on_where_settings_say_so, Checked("guard", RAW["delay"])),
        (check_it_is_documented, Checked("weight", RAW["delay"])),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.name,
)
def test_the_suite_notices(check: Callable[[Checked], None], broken: Checked) -> None:
    assert isinstance(broken.factor, Factor)
    with pytest.raises(AssertionError):
        check(broken)
