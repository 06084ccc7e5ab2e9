"""Thinned samples: all positives, few negatives, the same rows everywhere, and corrections that make up for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.client.keep_rate import FIRST_ROWS
from sie_online.client.subsample import CORRECTION, Subsampler, draws, subsample
from sie_online.errors import UsageError

BUDGETS = st.floats(0.01, 1.0)
SALTS = st.integers(0, 2**64 - 1)
GOLDEN_DRAWS = {0: [5059001542233770, 5416695320919437, 0], 7: [1509047404156363, 4471718595641637, 2890445884417069]}
GOLDEN_ROWS = [0, 2, 11, 19, 50, 94, 100, 125, 147, 150, 167, 185]
HOSTILE_IDS = ["", "\0", "a\0", "\0a", "🛒" * 1_000, "x" * 4_096, "ﬀ", "e\u0301", "é", "'; --", "null", " ", "\n", "١"]


def table(n: int, *, positive: float = 0.03, seed: int = 0, ids: list[str] | None = None, **columns: Any) -> pa.Table:
    """``n`` samples with a positive rate of about ``positive`` and probabilities that tell something of it."""
    rng = np.random.default_rng(seed)
    logit = math.log(positive / (1 - positive)) + rng.normal(size=n)
    probability = 1 / (1 + np.exp(-logit))
    made = {
        "event_id": pa.array(ids or [f"event-{i}" for i in range(n)], pa.string()),
        "label": pa.array((rng.random(n) < probability).astype(np.int8)),
        "probability": pa.array(probability),
        "row": pa.array(range(n), pa.int64()),
    }
    return pa.table(made | columns)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Small tables of every kind that has room for some negatives at no or at any budget."""
    n = draw(st.integers(0, 120))
    ids = draw(st.lists(st.text(max_size=12), min_size=n, max_size=n, unique=True))
    label = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    probability = draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    return table(n, ids=ids or None, label=pa.array(label, pa.bool_()), probability=pa.array(probability, pa.float64()))


def streamed(rows: pa.Table, budget: float, size: int = 1_000, **options: Any) -> pa.Table:
    """What a stream of batches of ``size`` rows makes of ``rows``."""
    subsampler = Subsampler(budget, **options)
    batches = rows.to_batches(max_chunksize=size) or [pa.RecordBatch.from_pylist([], schema=rows.schema)]
    parts = [subsampler.take(batch) for batch in batches]
    assert subsampler.rows == len(rows)
    assert subsampler.kept == sum(len(part) for part in parts)
    return pa.Table.from_batches(parts)


def tabled(rows: pa.Table, budget: float, **options: Any) -> pa.Table:
    """``subsample`` where the budget has room for the positives, else all rows."""
    try:
        return subsample(rows, budget, **options)
    except UsageError:
        return subsample(rows, 1.0, **options)


WAYS: Any = pytest.mark.parametrize("way", [tabled, streamed], ids=["table", "stream"])
Way = Callable[..., pa.Table]


def kept_rows(rows: pa.Table) -> list[int]:
    return list(rows["row"].to_pylist())


@WAYS
@settings(max_examples=50)
@given(rows=tables(), budget=BUDGETS, salt=SALTS)
def test_all_positives_are_kept_in_order(way: Way, rows: pa.Table, budget: float, salt: int) -> None:
    kept = way(rows, budget, salt=salt)
    assert (
        kept.filter(pa.compute.cast(kept["label"], pa.bool_()))
        .drop_columns(CORRECTION)
        .equals(rows.filter(pa.compute.cast(rows["label"], pa.bool_())))
    )
    assert kept_rows(kept) == sorted(kept_rows(kept))


@WAYS
@settings(max_examples=50)
@given(rows=tables(), budgets=st.tuples(BUDGETS, BUDGETS), salt=SALTS, by=st.sampled_from([None, "probability"]))
def test_a_smaller_budget_keeps_a_subset(
    way: Way, rows: pa.Table, budgets: tuple[float, float], salt: int, by: str | None
) -> None:
    few, many = (way(rows, budget, salt=salt, by=by) for budget in sorted(budgets))
    if way is tabled and len(few) == len(rows):
        return  # it had no room for the positives
    assert set(kept_rows(few)) <= set(kept_rows(many))
    more = dict(zip(kept_rows(many), many[CORRECTION].to_pylist(), strict=True))
    assert all(
        more[row] <= correction for row, correction in zip(kept_rows(few), few[CORRECTION].to_pylist(), strict=True)
    )


@settings(max_examples=15)
@given(st.data())
def test_of_a_long_stream_a_smaller_budget_keeps_a_subset(data: st.DataObject) -> None:
    rows = table(20_000, seed=data.draw(st.integers(0, 3)), positive=data.draw(st.sampled_from([0.01, 0.3])))
    few, many = (streamed(rows, budget) for budget in sorted([data.draw(BUDGETS), data.draw(BUDGETS)]))
    assert set(kept_rows(few)) <= set(kept_rows(many))


@settings(max_examples=50)
@given(rows=tables(), budget=BUDGETS)
def test_a_table_keeps_exactly_its_share(rows: pa.Table, budget: float) -> None:
    positives = int(np.asarray(rows["label"]).sum())
    wanted = round(budget * len(rows))
    if 0 < positives < len(rows) and wanted <= positives:
        with pytest.raises(UsageError, match="must be above"):
            subsample(rows, budget)
    else:
        assert len(subsample(rows, budget)) == max(wanted, positives)


@pytest.mark.parametrize("budget", [0.5, 0.1, 0.05])
@pytest.mark.parametrize("by", [None, "probability"])
def test_a_stream_keeps_its_share_within_what_chance_makes_of_it(budget: float, by: str | None) -> None:
    rows = table(60_000, positive=0.02)
    kept = len(streamed(rows, budget, by=by))
    assert kept == pytest.approx(budget * len(rows), abs=4 * math.sqrt(budget * len(rows)))


def test_the_share_of_a_stream_follows_what_comes() -> None:
    rows = pa.concat_tables([table(20_000, positive=0.01), table(120_000, positive=0.06, seed=1)])
    ids = pa.array([f"event-{i}" for i in range(len(rows))])
    rows = rows.set_column(0, "event_id", ids)
    subsampler = Subsampler(0.2)
    for batch in rows.slice(0, 120_000).to_batches(max_chunksize=4_000):
        subsampler.take(batch)
    later = sum(len(subsampler.take(batch)) for batch in rows.slice(120_000).to_batches(max_chunksize=4_000))
    assert later / 20_000 == pytest.approx(0.2, rel=0.05)


@WAYS
@settings(max_examples=50)
@given(rows=tables(), budget=BUDGETS)
def test_corrections_are_finite_and_not_negative(way: Way, rows: pa.Table, budget: float) -> None:
    kept = way(rows, budget)
    correction = kept[CORRECTION].to_numpy()
    assert kept.schema.field(CORRECTION) == pa.field(CORRECTION, pa.float64(), nullable=False)
    assert np.isfinite(correction).all()
    assert (correction >= 0).all()


@WAYS
@pytest.mark.parametrize("by", [None, "probability"])
def test_inverse_keep_rates_make_up_for_the_rows_that_are_gone(way: Way, by: str | None) -> None:
    """Over salts, the negatives kept stand for all: how many they are, and what their probabilities add up to."""
    rows = table(400, positive=0.05)
    negative, p = np.asarray(rows["label"]) == 0, rows["probability"].to_numpy()
    truth = np.array([negative.sum(), p[negative].sum(), (p[negative] < 0.02).sum()])
    found = []
    for salt in range(400):
        kept = way(rows, 0.2, by=by, salt=salt)
        weight = np.exp(kept[CORRECTION].to_numpy()) * (kept["label"].to_numpy() == 0)
        probability = kept["probability"].to_numpy()
        found.append([weight.sum(), weight @ probability, weight @ (probability < 0.02)])
    error = np.std(found, axis=0, ddof=1) / math.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - truth) < 4 * error + 1e-9 * truth).all()
    assert (error < 0.03 * truth).all()


def logistic(margin: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(margin, -30, 30)))


def fitted(x: Any, label: Any, offset: Any) -> Any:
    """Logistic regression by Newton's method, with ``offset`` in the logit."""
    coefficient = np.zeros(x.shape[1])
    for _ in range(50):
        p = logistic(x @ coefficient + offset)
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x, x.T @ (label - p))
        coefficient += step / max(1.0, np.abs(step).max())
    return coefficient


@WAYS
def test_a_model_trained_with_the_correction_serves_without_it(way: Way) -> None:
    rng = np.random.default_rng(1)
    n = 60_000
    x = np.stack([np.ones(n), rng.normal(size=n)], axis=1)
    truth, pilot = logistic(x @ np.array([-4.0, 1.0])), logistic(x @ np.array([-3.0, 0.5]))  # pilots are wrong
    label = (rng.random(n) < truth).astype(np.int8)
    rows = table(n, label=pa.array(label), probability=pa.array(pilot))
    kept = way(rows, 0.1)
    row, correction = kept["row"].to_numpy(), kept[CORRECTION].to_numpy()
    served = {
        sign: float(logistic(x @ fitted(x[row], label[row], sign * correction)).mean() / label.mean())
        for sign in (1, 0, -1)
    }
    assert served[1] == pytest.approx(1.0, abs=0.05)
    assert served[0] > 3  # left out: too many are predicted positive
    assert served[-1] > 5  # the wrong way round: far too many
    assert fitted(x[row], label[row], correction) == pytest.approx([-4.0, 1.0], abs=0.15)


@settings(max_examples=50)
@given(rows=tables(), budget=BUDGETS, sizes=st.tuples(st.integers(1, 200), st.integers(1, 200)))
def test_batches_do_not_matter(rows: pa.Table, budget: float, sizes: tuple[int, int]) -> None:
    one, other = (streamed(rows, budget, size) for size in sizes)
    assert one.equals(other)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1_000, 4_097])
def test_batches_do_not_matter_in_a_long_stream(size: int) -> None:
    rows = table(9_000)
    assert streamed(rows, 0.1, size).equals(streamed(rows, 0.1, 9_000))


def test_the_order_of_a_tables_rows_does_not_matter() -> None:
    rows = table(2_000)
    shuffled = rows.take(pa.array(np.random.default_rng(0).permutation(2_000)))
    assert subsample(shuffled, 0.1).sort_by("row").equals(subsample(rows, 0.1))


def test_the_same_rows_are_kept_for_ever() -> None:
    """Figures from another implementation in plain Python: fmix64(fmix64(FNV-1a) xor fmix64(salt)) >> 11."""
    ids = pa.array(["t0001112", "æøå\0🛒", ""])
    assert (draws(ids) * 2**53).astype(int).tolist() == GOLDEN_DRAWS[0]
    assert (draws(ids, 7) * 2**53).astype(int).tolist() == GOLDEN_DRAWS[7]
    rows = table(200, label=pa.array([i % 50 == 0 for i in range(200)]), probability=pa.array([0.25] * 200))
    assert kept_rows(subsample(rows, 0.06)) == GOLDEN_ROWS
    assert kept_rows(subsample(rows, 0.06, by=None)) == GOLDEN_ROWS


def test_salts_choose_other_rows() -> None:
    rows = table(5_000)
    one, other = (set(kept_rows(subsample(rows, 0.1, salt=salt))) for salt in (0, 1))
    assert len(one & other) < 0.7 * len(one)


def test_draws_are_uniform() -> None:
    found = draws(pa.array([f"t{i:07}" for i in range(100_000)]))
    counts = np.histogram(found, 20, (0, 1))[0]
    assert ((counts - 5_000) ** 2 / 5_000).sum() < 43.8  # chi-squared of 19 degrees, .999


@WAYS
def test_hostile_ids_are_ids(way: Way) -> None:
    rows = table(len(HOSTILE_IDS), ids=HOSTILE_IDS, label=pa.array([0] * len(HOSTILE_IDS)))
    assert len(set(draws(rows["event_id"]).tolist())) == len(HOSTILE_IDS)
    assert len(way(rows, 0.5)) == (7 if way is tabled else len(HOSTILE_IDS))


def test_rows_with_one_id_are_kept_or_left_together() -> None:
    rows = table(40, ids=["same"] * 40, label=pa.array([0] * 40), probability=pa.array([0.5] * 40))
    assert len(subsample(rows, 0.5)) in {0, 40}


@WAYS
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_no_error(way: Way, label: int) -> None:
    rows = table(1_000, label=pa.array([label] * 1_000))
    assert (len(way(rows, 0.1)) == 1_000) == bool(label)


def test_probabilities_beyond_their_bounds_do_no_harm() -> None:
    rows = table(4, label=pa.array([0, 0, 0, 1]), probability=pa.array([-1.0, 0.0, 1e300, 0.5]))
    assert kept_rows(subsample(rows, 0.5)) == [2, 3]
    assert np.isfinite(subsample(rows, 0.5)[CORRECTION].to_numpy()).all()
    assert len(streamed(rows, 0.5)) == 4


@pytest.mark.parametrize("budget", [5e-324, 1e-300, 1e-12])
@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_of_a_budget_next_to_nothing_corrections_are_finite(budget: float, probability: float) -> None:
    rows = table(200, probability=pa.array([probability] * 200), positive=0.1)
    kept = streamed(rows, budget)
    assert set(np.flatnonzero(np.asarray(rows["label"]))) <= set(kept_rows(kept))
    assert np.isfinite(kept[CORRECTION].to_numpy()).all()


def test_of_rows_without_an_id_corrections_are_finite() -> None:
    """Their draw is 0 where the salt is, so none is below any rate that leaves some out."""
    kept = subsample(table(4, ids=["", "", "", "x"], label=pa.array([0, 0, 0, 1])), 0.5)
    assert kept_rows(kept) == [3]
    assert np.isfinite(kept[CORRECTION].to_numpy()).all()


@WAYS
@given(rows=tables(), budget=BUDGETS, start=st.integers(0, 120), length=st.integers(0, 120))
@settings(max_examples=50)
def test_a_part_of_a_table_is_a_table(way: Way, rows: pa.Table, budget: float, start: int, length: int) -> None:
    """Arrow's slices share their buffers: what lies before and behind is not read."""
    part = rows.slice(start, length)
    copied = pa.Table.from_pylist(part.to_pylist(), schema=part.schema)
    assert way(part, budget).equals(way(copied, budget))


def test_a_stream_that_rises_keeps_more_and_one_that_falls_less() -> None:
    """What its documentation says: no memory of what was kept, which would cost the subsets."""
    rising = np.sort(np.random.default_rng(0).random(40_000) ** 4)
    rows = table(40_000, probability=pa.array(rising))
    falling = table(40_000, probability=pa.array(rising[::-1].copy()))
    assert len(streamed(falling, 0.1)) < 0.1 * 40_000 < len(streamed(rows, 0.1))
    for one in (rows, falling):
        assert set(kept_rows(streamed(one, 0.05))) <= set(kept_rows(streamed(one, 0.1)))


def test_a_whole_budget_keeps_all_without_correction() -> None:
    rows = table(500)
    for kept in (subsample(rows, 1), streamed(rows, 1.0)):
        assert kept.drop_columns(CORRECTION).equals(rows)
        assert (kept[CORRECTION].to_numpy() == 0).all()


def test_more_positives_than_the_budget_leave_a_stream_its_negatives() -> None:
    rows = table(20_000, label=pa.array([i % 2 for i in range(20_000)]), probability=pa.array([0.5] * 20_000))
    kept = streamed(rows, 0.1)
    negatives = len(kept) - 10_000 - FIRST_ROWS // 2
    assert negatives == pytest.approx(0.01 * 20_000, abs=60)


@pytest.mark.parametrize("rows", [table(0), table(0).to_batches(), table(10).slice(0, 0).combine_chunks()], ids=str)
def test_nothing_of_nothing(rows: Any) -> None:
    batch = pa.RecordBatch.from_pylist([], schema=table(0).schema)
    for nothing in (table(0), batch):
        kept = subsample(nothing, 0.1)
        assert type(kept) is type(nothing)
        assert (len(kept), kept.schema.names[-1]) == (0, CORRECTION)
    subsampler = Subsampler(0.1)
    assert len(subsampler.take(batch)) == 0
    assert (subsampler.rows, subsampler.kept) == (0, 0)


@pytest.mark.parametrize("budget", [0, -0.1, 1.5, math.nan, math.inf, None, "0.1", True, [0.1]], ids=repr)
def test_what_is_no_budget_is_refused(budget: Any) -> None:
    for refused in (lambda: subsample(table(10), budget), lambda: Subsampler(budget)):
        with pytest.raises(UsageError, match="share of all rows"):
            refused()


@pytest.mark.parametrize("salt", [-1, 2**64, 0.5, "pepper", None, True], ids=repr)
def test_what_is_no_salt_is_refused(salt: Any) -> None:
    for refused in (lambda: subsample(table(10), 0.1, salt=salt), lambda: Subsampler(0.1, salt=salt)):
        with pytest.raises(UsageError, match="whole number"):
            refused()


UNFIT = {
    "null label": ({"label": pa.array([None, 1, 0], pa.int8())}, "'label' has 1 nulls"),
    "null id": ({"event_id": pa.array(["a", None, None])}, "'event_id' has 2 nulls"),
    "null probability": ({"probability": pa.array([0.1, None, 0.2])}, "'probability' has 1 nulls"),
    "number as id": ({"event_id": pa.array([1, 2, 3])}, "'event_id' cannot be hashed: it holds int64"),
    "text as label": ({"label": pa.array(["0", "1", "0"])}, "'label' holds string, not numbers"),
    "not a number": ({"probability": pa.array([0.1, math.nan, 0.2])}, "'probability' has values that are not finite"),
    "infinite": ({"probability": pa.array([0.1, math.inf, 0.2])}, "'probability' has values that are not finite"),
    "not final": ({"final": pa.array([True, False, None])}, "2 of 3 rows are not final"),
    "twice": ({CORRECTION: pa.array([0.0, 0.0, 0.0])}, "subsampled already"),
}


@pytest.mark.parametrize(("columns", "said"), UNFIT.values(), ids=UNFIT)
def test_rows_that_are_unfit_are_refused(columns: Any, said: str) -> None:
    rows = table(3, **columns)
    for refused in (lambda: subsample(rows, 0.5), lambda: Subsampler(0.5).take(rows)):
        with pytest.raises(UsageError, match=said):
            refused()


def test_rows_that_are_final_are_fit_whatever_that_means_elsewhere() -> None:
    rows = table(200)
    for final in (pa.array([True] * 200), pa.array(["no"] * 200)):
        assert kept_rows(subsample(rows.append_column("final", final), 0.1)) == kept_rows(subsample(rows, 0.1))
    assert len(subsample(rows.append_column("final", pa.array([True] * 200)).slice(0, 0), 0.1)) == 0


@pytest.mark.parametrize("by", ["label", "error", "weight", "noise_probability"])
def test_a_rate_that_knows_the_label_is_refused(by: str) -> None:
    rows = table(3, **{name: pa.array([0.1, 0.2, 0.3]) for name in ("error", "weight", "noise_probability")})
    for refused in (lambda: subsample(rows, 0.5, by=by), lambda: Subsampler(0.5, by=by).take(rows)):
        with pytest.raises(UsageError, match="stated with the label"):
            refused()


@pytest.mark.parametrize("name", ["event_id", "label", "probability"])
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"no column '{name}'; there are"):
        subsample(table(3).drop_columns(name), 0.5)


def test_without_by_no_probability_is_needed() -> None:
    kept = subsample(table(1_000).drop_columns("probability"), 0.1, by=None)
    assert len(set(kept[CORRECTION].to_pylist())) == 1


def test_refused_rows_change_nothing_of_a_stream() -> None:
    rows, unfit = table(2_000), table(3, label=pa.array([None, 1, 0], pa.int8()))
    subsampler = Subsampler(0.1)
    first = subsampler.take(rows.slice(0, 1_000))
    with pytest.raises(UsageError):
        subsampler.take(unfit)
    both = pa.concat_tables([first, subsampler.take(rows.slice(1_000))])
    assert both.equals(streamed(rows, 0.1))
