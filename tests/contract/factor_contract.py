"""What every factor must be, whoever writes it: checks that take a factor, or its column, and raise AssertionError.

Arithmetic is checked on moments of any kind, against any state that the factor can have observed. What rows say is
checked on the rows of shards in which the factor is on.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np
import pandas as pd

from sie_online.announcements import Adoption
from sie_online.client.rows import weight_rows
from sie_online.contracts import FACTORS
from sie_online.importance.factor import NEGATIVE, POSITIVE, UNKNOWN, Factor, Learned, Moment, Need
from sie_online.importance.factors import KEPT
from sie_online.importance.influence import new_net
from sie_online.settings import Importance, Settings
from sie_online.shard import Shard
from sie_online.shard.entities import POPULATION
from streams.tools.explanation import shares
from tests.support.brokers import ROOT
from tests.support.events import heartbeat, random_events, records, run, small_settings, weights
from tests.support.moments import a_moment
from tests.support.nets import random_weights

N = 600
RECORDS = records([*random_events(N, seed=4), heartbeat(10 * N * 20)])
NET = new_net(random_weights(), mean_f=0.5)
SWITCHES = get_args(get_args(Importance.model_fields["factors"].annotation)[0])
"""Factors that ``importance.factors`` may name."""
SITUATIONS: tuple[dict[str, Any], ...] = tuple(
    {"factors": list(SWITCHES), "combine": combine, "group_share": 0.01} for combine in ("net", "sum", "product")
)
"""Settings of section ``importance`` of which each factor is on in at least one."""


@dataclass(frozen=True)
class Checked:
    """A factor under its column's name."""

    name: str
    factor: Factor

    @property
    def column(self) -> str:
        return f"f_{self.name}"


# -- arithmetic


def check_bounded_and_finite(checked: Checked) -> None:
    """Whatever the moment and the state, the factor is finite and within the bounds that it states."""
    rng = np.random.default_rng(0)
    for situation in SITUATIONS:
        cfg = checked.factor.settings_of(small_settings(importance=situation))
        lowest, highest = checked.factor.bounds(cfg)
        assert math.isfinite(lowest) and math.isfinite(highest)
        population = np.zeros(1, POPULATION)[0]
        for _ in range(200):
            moment = _any_moment(rng)
            value = checked.factor.log_weight(cfg, Learned(population, NET), moment)
            assert lowest - 1e-9 <= value <= highest + 1e-9, f"{value} for {moment}"
            if checked.factor.observe:
                checked.factor.observe(cfg, population, moment)
            if checked.factor.settle and moment.label != UNKNOWN:
                checked.factor.settle(cfg, population, moment.label)


def check_asked_twice_it_says_the_same(checked: Checked) -> None:
    """Asking changes nothing: only ``observe`` and ``settle`` do."""
    rng, population = np.random.default_rng(1), np.zeros(1, POPULATION)[0]
    cfg = checked.factor.settings_of(small_settings(importance=_where_on(checked)))
    for _ in range(20):
        moment, before = _any_moment(rng), population.tobytes()
        first = checked.factor.log_weight(cfg, Learned(population, NET), moment)
        assert checked.factor.log_weight(cfg, Learned(population, NET), moment) == first
        assert population.tobytes() == before


def check_plain_python_says_the_same(checked: Checked) -> None:
    """The kernel's twin, the function as written, gives the same number."""
    rng, population = np.random.default_rng(2), np.zeros(1, POPULATION).view(np.recarray)[0]
    cfg = checked.factor.settings_of(small_settings(importance=_where_on(checked)))
    for _ in range(20):
        moment = _any_moment(rng)
        compiled = checked.factor.log_weight(cfg, Learned(population, NET), moment)
        plain = checked.factor.log_weight.py_func(cfg, Learned(population, NET), moment)
        assert compiled == plain or math.isclose(compiled, plain, rel_tol=1e-12)


# -- rows


def check_it_is_on_where_settings_say_so(checked: Checked) -> None:
    """Its column moves where it is on, and is zero where everything is off."""
    assert (_rows(**_where_on(checked))[checked.column] != 0).any()
    assert (_rows(factors=[], combine="off")[checked.column] == 0).all()


def check_batches_do_not_matter(checked: Checked) -> None:
    """Its column is equal in every bit, however records are cut into batches."""
    rng = np.random.default_rng(3)
    for _ in range(3):
        cuts = tuple(sorted(rng.integers(1, N, 8).tolist()))
        assert _bits(checked, _rows(cuts, **_where_on(checked))) == _bits(checked, _rows(**_where_on(checked)))


def check_a_restored_shard_goes_on_with_it(checked: Checked) -> None:
    """A shard saved and restored half-way says what one says that ran through."""
    assert _bits(checked, _rows_of_restored(_where_on(checked))) == _bits(checked, _rows(**_where_on(checked)))


def check_it_changes_only_with_what_it_needs(checked: Checked) -> None:
    """Statements about one event differ in it only where something changed that it looks at."""
    rows, needs = _rows(**_where_on(checked)), checked.factor.needs
    if Need.REVISION in needs:
        return
    known = ["label", "final"] if Need.LABEL in needs else []
    values = rows.assign(label=rows["label"].fillna(UNKNOWN)).groupby(["offset", *known])[checked.column].nunique()
    assert (values == 1).all()


def check_it_is_part_of_the_explanation(checked: Checked) -> None:
    """Log weight is the sum of all parts, and ``sie explain`` tells this one's share."""
    rows = _rows(**_where_on(checked))
    parts = rows[[f"f_{name}" for name in FACTORS]]
    assert np.allclose(parts.sum(axis=1), np.log(rows["weight"]), atol=1e-6)
    for row in weight_rows(_table(**_where_on(checked)).to_batches()[0].slice(0, 50)):
        assert checked.name in shares(row)


def check_it_is_documented(checked: Checked) -> None:
    """Its module says what it is, and so does the page about the architecture."""
    module = importlib.import_module(f"sie_online.importance.{checked.name}")
    assert (module.__doc__ or "").startswith(f"Factor `{checked.name}`: ")
    assert f"| `{checked.name}` |" in (ROOT / "docs" / "architecture.md").read_text()


CHECKS: tuple[Callable[[Checked], None], ...] = (
    check_bounded_and_finite,
    check_asked_twice_it_says_the_same,
    check_plain_python_says_the_same,
    check_it_is_on_where_settings_say_so,
    check_batches_do_not_matter,
    check_a_restored_shard_goes_on_with_it,
    check_it_changes_only_with_what_it_needs,
    check_it_is_part_of_the_explanation,
    check_it_is_documented,
)


def _any_moment(rng: np.random.Generator) -> Moment:
    label = int(rng.choice([UNKNOWN, NEGATIVE, POSITIVE]))
    p = float(rng.choice([1e-6, 1 - 1e-6, rng.uniform(1e-6, 1 - 1e-6)]))
    kept = np.zeros(1, KEPT).view(np.recarray)[0]
    return a_moment(
        is_sample=bool(rng.random() < 0.9),
        etype=int(rng.integers(8)),
        user_key=np.uint64(rng.integers(1 << 63)),
        category_key=np.uint64(rng.integers(2)),
        label=label,
        matured=bool(label != UNKNOWN and rng.random() < 0.5),
        probability=p,
        error=np.nan if label == UNKNOWN else label - p,
        feature_score=float(rng.choice([0.0, rng.exponential(), 1e3])),
        noise_probability=(p := float(rng.choice([0.0, 0.999, rng.uniform(0, 0.999)]))),
        noise_cautious=p * float(rng.random()),
        kept=kept,
        dense=rng.normal(0, 100.0, len(a_moment().dense)).astype(np.float32),
    )


def _where_on(checked: Checked) -> dict[str, Any]:
    for situation in SITUATIONS:
        if checked.factor.settings_of(small_settings(importance=situation)).on:
            return situation
    raise AssertionError(f"no settings put factor {checked.name!r} on: add some to SITUATIONS")


def _shard(settings: Settings) -> Shard:
    shard = Shard(settings, 0)
    shard.schedule(Adoption(1, "A", N // 4), NET)
    return shard


def _table(cuts: tuple[int, ...] = (), **importance: Any) -> Any:
    return weights(run(_shard(small_settings(importance=importance)), RECORDS, cuts)).combine_chunks()


def _rows(cuts: tuple[int, ...] = (), **importance: Any) -> pd.DataFrame:
    return _cached(cuts, tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in importance.items()))


@cache
def _cached(cuts: tuple[int, ...], importance: tuple[tuple[str, Any], ...]) -> pd.DataFrame:
    return _table(cuts, **dict(importance)).to_pandas()


def _rows_of_restored(importance: dict[str, Any]) -> pd.DataFrame:
    settings, half = small_settings(importance=importance), N // 2
    shard = _shard(settings)
    first = weights(run(shard, RECORDS[:half]))
    saved = shard.snapshot()
    restored = Shard.restore(settings, 0, saved.meta, saved.changed, generation=0, artifacts={"net": NET})
    return pd.concat([first.to_pandas(), weights(run(restored, RECORDS[half:])).to_pandas()], ignore_index=True)


def _bits(checked: Checked, rows: pd.DataFrame) -> list[bytes]:
    return [value.tobytes() for value in rows[checked.column].to_numpy()]
