"""The replay window depends on what it was given, not on how; samples tables are checked column by column."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SampleError
from models.samples import SampleColumns, chronological, feature_schema_hash, from_table, joined, split
from models.window import Window
from sie_online.contracts import EVENT_TYPES
from tests.support.samples import N_DENSE, N_FEATURES, made_samples, samples_table

ALL = made_samples(400, positive=0.3)
MINUTE = 60_000


def keys(samples: SampleColumns | None) -> list[tuple[int, int, bool]]:
    assert samples is not None
    return list(zip(samples.partition.tolist(), samples.offset.tolist(), samples.older.tolist(), strict=True))


def filled(parts: list[SampleColumns], **bounds: int) -> Window:
    window = Window(**({"max_samples": 100, "max_age_ms": 1 << 60} | bounds))  # type: ignore[arg-type]
    for part in parts:
        window.add(part)
    return window


@given(st.permutations(range(8)), st.lists(st.integers(0, 400), min_size=7, max_size=7), st.integers(0, 3), st.data())
def test_contents_do_not_depend_on_order_cuts_or_repeats(
    order: list[int], cuts: list[int], older: int, data: st.DataObject
) -> None:
    parts = [ALL.take(slice(a, b)) for a, b in pairwise([0, *sorted(cuts), 400])]
    repeats = [parts[i] for i in data.draw(st.lists(st.integers(0, 7), max_size=3))]
    bounds = {"max_samples": 90, "max_age_ms": 120_000, "max_older_positives": older}
    shuffled = filled([parts[i] for i in order] + repeats, **bounds)
    assert keys(shuffled.samples()) == keys(filled([ALL], **bounds).samples())


@given(st.integers(1, 500), st.integers(1, 500_000), st.integers(0, 50), st.integers(0, 400))
def test_bounds_hold(max_samples: int, max_age_ms: int, max_older: int, n: int) -> None:
    window = filled(
        [ALL.take(slice(0, n))], max_samples=max_samples, max_age_ms=max_age_ms, max_older_positives=max_older
    )
    found = window.samples()
    if not n:
        assert found is None
        return
    assert found is not None
    late, early = found.take(~found.older), found.take(found.older)
    assert 1 <= len(late) <= max_samples
    assert len(early) <= max_older
    newest = ALL.event_time_ms[n - 1]
    assert (late.event_time_ms >= newest - max_age_ms).all()
    assert (early.label == 1).all()
    assert len(early) == 0 or early.event_time_ms.max() <= late.event_time_ms.min()
    expected = min(max_samples, int((ALL.event_time_ms[:n] >= newest - max_age_ms).sum()))
    assert len(late) == expected  # nothing is forgotten before it must be


def test_a_sample_of_a_clock_that_is_ahead_drives_nobody_out() -> None:
    """It claims to be 40 days younger than the others, and settled when they did."""
    times_ms = ALL.event_time_ms[:400].copy()
    times_ms[200] += 40 * 86_400_000
    wrong = replace(ALL.take(slice(0, 400)), event_time_ms=times_ms)
    window = filled([wrong], max_samples=500, max_age_ms=2 * 86_400_000)
    assert len(window) == 400


def test_the_newest_stay_and_samples_come_in_time_order() -> None:
    window = filled([ALL.take(np.arange(400)[::-1])])
    assert [offset for _, offset, _ in keys(window.samples())] == list(range(300, 400))


def test_every_older_positive_has_the_same_chance() -> None:
    hits = np.zeros(400)
    for seed in range(200):
        found = filled([ALL], max_older_positives=20, seed=seed).samples()
        assert found is not None
        hits[found.offset[found.older]] += 1
    chance = 20 / (ALL.label[:300] == 1).sum() * 200
    assert (hits[:300][ALL.label[:300] == 0] == 0).all()
    assert np.abs(hits[:300][ALL.label[:300] == 1] - chance).max() < 5 * np.sqrt(chance)


def test_a_sample_that_became_older_and_one_that_still_is_new_are_told_apart() -> None:
    window = filled([ALL.take(slice(0, 100))], max_older_positives=1000)
    first = window.samples()
    assert first is not None
    assert not first.older.any()
    window.add(ALL.take(slice(100, 200)))
    second = window.samples()
    assert second is not None
    assert second.older.sum() == (ALL.label[:100] == 1).sum()


def test_the_same_offset_of_another_partition_is_another_sample() -> None:
    other = from_table(samples_table(400, partition=np.full(400, 3, np.int32)))
    assert len(filled([ALL, other], max_samples=1000)) == 800


def test_impossible_bounds_are_refused() -> None:
    for bounds in ({"max_samples": 0}, {"max_age_ms": 0}, {"max_older_positives": -1}):
        with pytest.raises(ValueError, match="needs"):
            filled([], **bounds)


@given(st.integers(0, 10_000))
def test_the_split_is_6_2_2_and_covers_everything_once(n: int) -> None:
    train, validation, test = split(n)
    assert (train.start, train.stop, validation.stop, test.stop) == (0, validation.start, test.start, n)
    assert abs(train.stop - 0.6 * n) <= 1
    assert abs((test.stop - test.start) - 0.2 * n) <= 1


def test_columns_are_what_the_table_says() -> None:
    table = samples_table(30, f_noise=np.full(30, 0.5), f_score=np.full(30, 0.25), f_clip=np.full(30, 9.0))
    samples = from_table(table)
    assert samples.dense.shape == (30, N_DENSE)
    assert samples.features.shape == (30, N_FEATURES)
    assert np.array_equal(samples.features[7], table["features"][7].as_py())
    assert (samples.event_type == EVENT_TYPES.index("view")).all()
    assert (samples.log_base == 0.5).all()  # neither the scores nor what is computed from the factors
    assert (samples.log_scores == 0.25).all()
    assert np.allclose(samples.error, table["error"].to_numpy(), atol=1e-6)


def test_rows_of_several_batches_and_slices_are_read_right() -> None:
    table = samples_table(40)
    pieces = pa.concat_tables([table.slice(25), table.slice(0, 25)])
    assert np.array_equal(from_table(pieces).dense[15:], from_table(table).dense[:25])


def test_event_types_are_read_by_name() -> None:
    names = pa.array(["click", "view", "click"]).dictionary_encode()
    table = samples_table(3)
    at = table.column_names.index("event_type")
    found = from_table(table.set_column(at, "event_type", names)).event_type
    assert found.tolist() == [EVENT_TYPES.index(name) for name in ("click", "view", "click")]
    with pytest.raises(SampleError, match="'event_type' has"):
        from_table(table.set_column(at, "event_type", pa.array(["gaze"] * 3)))


@pytest.mark.parametrize(
    "name", ["partition", "event_type", "label", "probability", "user_hash", "features", "dense", "f_noise"]
)
def test_a_missing_column_is_named(name: str) -> None:
    table = samples_table(5)
    if name == "f_noise":
        assert (from_table(table.drop_columns([name])).log_base == 0).all()  # factors come and go
        return
    with pytest.raises(SampleError, match=f"'{name}' is missing"):
        from_table(table.drop_columns([name]))


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"probability": np.full(5, np.nan)}, "probability"),
        ({"probability": np.full(5, 1.5)}, "probability"),
        ({"feature_score": np.full(5, np.inf)}, "feature_score"),
        ({"noise_probability": np.full(5, np.nan)}, "noise_probability"),
        ({"f_delay": np.full(5, np.nan)}, "log_base"),
        ({"label": np.full(5, 2)}, "label"),
    ],
)
def test_values_that_no_sample_has_are_refused(columns: dict[str, np.ndarray], named: str) -> None:
    with pytest.raises(SampleError, match=f"'{named}'"):
        from_table(samples_table(5, **columns))


def test_nulls_and_other_types_are_refused() -> None:
    table = samples_table(3)
    at = table.column_names.index("label")
    with pytest.raises(SampleError, match="'label' has 1 nulls"):
        from_table(table.set_column(at, "label", pa.array([0, None, 1], pa.int8())))
    with pytest.raises(SampleError, match="'label' is string"):
        from_table(table.set_column(at, "label", pa.array(["0", "1", "0"])))
    at = table.column_names.index("dense")
    with pytest.raises(SampleError, match="'dense' is"):
        from_table(table.set_column(at, "dense", pa.array([[1.0], [2.0, 3.0], []])))


def test_samples_of_two_feature_schemas_are_not_mixed() -> None:
    wide = ALL.take(slice(0, 3))
    narrow = SampleColumns(
        **{name: getattr(wide, name) for name in SampleColumns.__slots__} | {"dense": wide.dense[:, 1:]}
    )
    with pytest.raises(SampleError, match="'dense' changed its length"):
        joined([wide, narrow])


def test_the_schema_hash_is_read_or_missed() -> None:
    schema = samples_table(1).schema
    assert feature_schema_hash(schema) == "schema-1"
    with pytest.raises(SampleError, match="feature_schema_hash"):
        feature_schema_hash(schema.remove_metadata())


def test_chronological_order_breaks_ties_by_partition_and_offset() -> None:
    samples = from_table(
        samples_table(4, event_time_ms=np.array([5, 5, 5, 1]), partition=np.array([1, 0, 0, 9]), offset=[0, 7, 3, 2])
    )
    assert chronological(samples).tolist() == [3, 2, 1, 0]
