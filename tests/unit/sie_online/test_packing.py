"""Layout 2: the contract's columns come back to the bit, whatever they hold, and whoever lies is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online import contracts, ipc
from sie_online.client.rows import SAMPLES, Source, read_batch
from sie_online.errors import MessageError
from sie_online.packing import LAYOUT
from sie_online.shard import pack, render
from sie_online.unpacking import FramedRows, from_message, unpack
from tests.support.rows import SOURCE as EVENTS
from tests.support.rows import packed, packed_samples, sample_batch, weight_batch, weight_row

SOURCE = Source("sie.weights.v1", 3, 1234)
FACTORS = [f"f_{name}" for name in contracts.FACTORS]
LEFT = "f_normaliser"

ids = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["u" * 255, "u" * 256, "é" * 2_000])
probabilities = st.floats(0.0, 1.0, width=32)
parts = st.just(0.0) | st.floats(2.0**-20, 16.0, width=32) | st.floats(-16.0, -(2.0**-20), width=32)
near = st.integers(1_700_000_000_000, 1_700_000_000_000 + (1 << 32))
times = near | st.integers(0, contracts.LAST_MS)


@st.composite
def weight_rows(draw: st.DrawFn, ids: st.SearchStrategy[str] = ids, revisions: int = (1 << 31) - 1) -> dict[str, Any]:
    """Rows of one shard, of numbers as they are published."""
    label = draw(st.sampled_from([None, 0, 1]))
    probability, event_time_ms = draw(probabilities), draw(times)
    return weight_row(
        draw(st.integers(0, 1 << 33) | st.integers(0, contracts.INT64_MAX)),
        draw(st.integers(0, 3) | st.integers(0, revisions)),
        event_id=draw(ids),
        event_type=draw(st.sampled_from(contracts.EVENT_TYPES)),
        final=draw(st.booleans()),
        event_time_ms=event_time_ms,
        published_ms=draw(st.just(event_time_ms) | st.just(event_time_ms + 86_400_000) | times),
        user_id=draw(ids),
        item_id=draw(ids),
        label=label,
        probability=probability,
        error=None if label is None else label - probability,
        feature_score=draw(st.floats(0.0, 1e6, width=32)),
        noise_probability=draw(probabilities),
        weight=draw(st.floats(2.0**-10, 1_024.0, width=32)),
        uncertainty=draw(probabilities),
        **{name: draw(parts) for name in FACTORS if name != LEFT},
    )


def others(batch: pa.RecordBatch) -> pa.RecordBatch:
    """All columns but the one that is what the other parts leave."""
    return batch.drop_columns([LEFT])


def left_over(batch: pa.RecordBatch) -> list[float]:
    return [math.log(row["weight"]) - sum(row[name] for name in FACTORS if name != LEFT) for row in batch.to_pylist()]


def read(framed: FramedRows, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of all messages, as a subscriber has them."""
    return pa.concat_batches([read_batch(message, SOURCE, schema) for message in framed.messages])


@given(st.lists(weight_rows(), min_size=1, max_size=8), st.integers(1, 20_000))
def test_weights_come_back_as_they_were(rows: list[dict[str, Any]], limit: int) -> None:
    batch = weight_batch(*rows)
    found = read(packed(batch, limit), contracts.WEIGHTS)
    assert others(found).to_pylist() == others(batch).to_pylist()
    assert found[LEFT].to_pylist() == pytest.approx(left_over(batch), abs=1e-12)
    assert found.schema.equals(batch.schema, check_metadata=True)


@given(
    st.lists(
        st.tuples(times, times, st.integers(0, 3), st.sampled_from([7, 65_535, 65_536]), ids), min_size=1, max_size=6
    ),
    st.integers(1, 5_000),
)
def test_samples_come_back_as_they_were(given_rows: list[tuple[int, int, int, int, str]], limit: int) -> None:
    rows = sample_batch(*range(len(given_rows))).to_pylist()
    for row, (event_time_ms, settled_ms, revision, feature, event_id) in zip(rows, given_rows, strict=True):
        row |= {"event_time_ms": event_time_ms, "settled_ms": settled_ms, "revision": revision, "event_id": event_id}
        row |= {"features": [feature, 0, 1], "error": row["label"] - row["probability"]}
    batch = pa.RecordBatch.from_pylist(rows, schema=sample_batch(0).schema)
    found = read(packed_samples(batch, limit), SAMPLES)
    assert others(found).to_pylist() == others(batch).to_pylist()
    assert found[LEFT].to_pylist() == pytest.approx(left_over(batch), abs=1e-12)


@given(st.lists(st.floats(1e-3, 1e3), min_size=len(FACTORS), max_size=len(FACTORS)), st.floats(1e-3, 1.0))
def test_numbers_are_rounded_to_float32_and_the_parts_still_add_up(numbers: list[float], weight: float) -> None:
    factors = {name: math.log(number) for name, number in zip(FACTORS, numbers, strict=True)}
    factors[LEFT] += math.log(weight) - sum(factors.values())
    row = weight_row(weight=weight, probability=weight / 3, feature_score=weight * 7, **factors)
    (found,) = packed(weight_batch(row)).batch.to_pylist()
    for name in {"weight", "probability", "feature_score", *FACTORS} - {LEFT}:
        assert found[name] == (np.float32(row[name]) if abs(row[name]) >= pack.DUST else 0.0)
    assert sum(found[name] for name in FACTORS) == pytest.approx(math.log(found["weight"]), abs=1e-12)
    assert sum(found[name] for name in FACTORS) == pytest.approx(math.log(weight), abs=1e-7)


def test_what_arithmetic_leaves_of_no_factor_is_published_as_none() -> None:
    rows = packed(weight_batch(weight_row(f_clip=1.5e-14, f_noise=-0.0), weight_row(f_guard=-2e-11)))
    for row in rows.batch.to_pylist():
        assert [row[name] for name in ("f_clip", "f_noise", "f_guard")] == [0.0] * 3
        assert math.copysign(1.0, row["f_noise"]) == 1.0


def test_no_rows_make_no_message_and_have_every_column() -> None:
    for framed, schema in ((packed(weight_batch()), contracts.WEIGHTS), (packed_samples(sample_batch()), SAMPLES)):
        assert framed.messages == ()
        assert len(framed) == len(framed.batch) == 0
        assert framed.batch.schema.names == schema.names
    assert packed(weight_batch()).batch.schema.equals(contracts.weights_schema(EVENTS), check_metadata=True)


@pytest.mark.parametrize("limit", [1, 2_000, 3_500, 20_000])
def test_messages_are_cut_to_the_limit_and_hold_the_same_bytes_as_their_rows_alone(limit: int) -> None:
    batch = weight_batch(*(weight_row(at, at % 2, f_noise=-float(at > 50), user_id="u" * at) for at in range(100)))
    framed, first = packed(batch, limit), 0
    for message in framed.messages:
        n = len(from_message(message))
        assert len(message) <= limit or n == 1
        assert packed(batch.slice(first, n)).messages == (message,)
        first += n
    assert first == len(batch)
    assert pa.concat_tables(map(from_message, framed.messages)).to_batches()[0].num_rows > 0


def test_a_message_of_one_row_is_small() -> None:
    assert len(packed(weight_batch(weight_row())).messages[0]) < 2_000
    assert len(packed_samples(sample_batch(1)).messages[0]) < 2_800  # of which 550 name the features


def test_a_row_costs_a_third_of_layout_1() -> None:
    batch = weight_batch(*(weight_row(at, f_noise=-0.5) for at in range(1_000)))
    assert len(packed(batch).messages[0]) * 2.5 < len(contracts.to_message(batch))


def test_layout_1_stays_as_it_is() -> None:
    batch = weight_batch(weight_row(1), weight_row(2))
    assert unpack(batch) is batch
    framed = FramedRows.of(batch)
    assert framed.batch.equals(batch, check_metadata=True)
    assert framed.messages == (contracts.to_message(batch),)


def plain_survey(rows: Any, first: int, last: int, found: Any) -> None:
    record = np.zeros(1, pack.SURVEY).view(np.recarray)
    getattr(pack.survey, "py_func")(rows.view(np.recarray), first, last, record[0])  # noqa: B009 - mypy sees the function
    for name in pack.SURVEY.names or ():
        found[name] = record[name][0]


def plain_pack_rows(rows: Any, first: int, common: Any, *matrices: Any) -> None:
    record = np.array([common], pack.SURVEY).view(np.recarray)
    getattr(pack.pack_rows, "py_func")(rows.view(np.recarray), first, record[0], *matrices)  # noqa: B009


@given(st.lists(weight_rows(st.text(st.characters(codec="utf-8"), max_size=5), 255), min_size=1, max_size=4))
def test_plain_python_packs_the_same(rows: list[dict[str, Any]]) -> None:
    batch = weight_batch(*rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "survey", plain_survey)
        patch.setattr(render, "pack_rows", plain_pack_rows)
        patch.setattr(render, "pack_ids", getattr(pack.pack_ids, "py_func"))  # noqa: B009
        plain = packed(batch)
    assert plain.messages == packed(batch).messages


# -- messages that others wrote


def made() -> pa.RecordBatch:
    """Two rows of weights, packed."""
    rows = (weight_row(at, final=True, label=at, error=at - 0.25, user_id="é") for at in range(2))
    return ipc.read_batch(packed(weight_batch(*rows)).messages[0])


def with_head(**changes: Any) -> pa.RecordBatch:
    """Rows of which the metadata say something else; None: not any more."""
    batch = made()
    head = json.loads(batch.schema.metadata[LAYOUT]) | changes
    head = {name: value for name, value in head.items() if value is not None}
    return batch.replace_schema_metadata(batch.schema.metadata | {LAYOUT: json.dumps(head)})


def with_text(text: bytes) -> pa.RecordBatch:
    return made().replace_schema_metadata({LAYOUT: text})


def with_matrix(name: str, change: Callable[[np.ndarray[Any, Any]], Any]) -> pa.RecordBatch:
    """Rows with another matrix of that name."""
    batch = made()
    at = batch.schema.get_field_index(name)
    old = batch.column(at).flatten().to_numpy().reshape(len(batch), -1)
    new = np.ascontiguousarray(change(old.copy()))
    kind = pa.list_(pa.from_numpy_dtype(new.dtype), new.shape[1])
    return batch.set_column(at, name, pa.FixedSizeListArray.from_arrays(pa.array(new.reshape(-1)), type=kind))


def put(row: int, column: int, value: float) -> Callable[[np.ndarray[Any, Any]], Any]:
    """A change of one number."""

    def change(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        matrix[row, column] = value
        return matrix

    return change


def with_nulls(name: str, *, inside: bool) -> pa.RecordBatch:
    batch = made()
    at = batch.schema.get_field_index(name)
    kind = pa.list_(batch.column(at).type.value_type, batch.column(at).type.list_size)
    first = [None] * kind.list_size if inside else None
    return batch.set_column(at, name, pa.array([first, batch.column(at)[1].as_py()], kind))


def with_field_name(name: str) -> pa.RecordBatch:
    batch = made()
    kind = pa.list_(pa.field(name, pa.uint16()), 6)
    return batch.set_column(batch.schema.get_field_index("codes"), "codes", pa.array([[0] * 6] * 2, kind))


HOSTILE: dict[str, Callable[[], pa.RecordBatch]] = {
    "a head that is no JSON": lambda: with_text(b"{"),
    "a head that is a number": lambda: with_text(b"2"),
    "a head of brackets": lambda: with_text(b"[" * 100_000),
    "a layout that no terminal should see": lambda: with_head(version="\x1b[2J\u202e"),
    "a field that no terminal should see": lambda: with_field_name("\x1b[2J"),
    "a head without its base": lambda: with_head(offset=None),
    "a later layout": lambda: with_head(version=3),
    "rows of a kind that there is not": lambda: with_head(rows="entities"),
    "weights that say they are samples": lambda: with_head(rows="samples"),
    "a partition beyond 32 bits": lambda: with_head(partition=1 << 31),
    "an offset beyond 64 bits": lambda: with_head(offset=1 << 63),
    "a generation of text": lambda: with_head(generation="1"),
    "a time that is true": lambda: with_head(time_ms=True),
    "a delay that is a fraction": lambda: with_head(delay_ms=0.5),
    "a model version that is none": lambda: with_head(model_version=[1]),
    "numbers that are no names": lambda: with_head(numbers=[1, 2, 3, 4, 5]),
    "a number less": lambda: with_head(numbers=["probability", "feature_score", "noise_probability", "weight"]),
    "a score by another name": lambda: with_head(
        numbers=["probability", "score", "noise_probability", "weight", "uncertainty"]
    ),
    "a part that is there and 0": lambda: with_head(zero=["weight"]),
    "a part that is 0 twice": lambda: with_head(zero=["f_noise", "f_noise"]),
    "what is left said to be 0": lambda: with_head(zero=[LEFT]),
    "parts without end": lambda: with_head(zero=[f"f_{at}" for at in range(2_000)]),
    "a column of the contract's name": lambda: made().append_column("weight", pa.array([1.0, 2.0])),
    "no codes": lambda: made().drop_columns(["codes"]),
    "codes of another type": lambda: with_matrix("codes", lambda codes: codes.astype(np.uint16)),
    "codes of another width": lambda: with_matrix("codes", lambda codes: codes[:, :5]),
    "a whole number too many": lambda: with_matrix("whole", lambda whole: np.hstack((whole, whole))),
    "an event type that there is not": lambda: with_matrix("codes", put(0, 0, len(contracts.EVENT_TYPES))),
    "a negative event type": lambda: with_matrix("codes", lambda codes: put(0, 0, -1)(codes.astype(np.int32))),
    "a label that there is not": lambda: with_matrix("codes", put(0, 1, 3)),
    "a final label that there is not": lambda: with_matrix("codes", put(0, 1, 8)),
    "ids longer than their text": lambda: with_matrix("codes", put(0, 3, 200)),
    "ids shorter than their text": lambda: with_matrix("codes", put(0, 3, 0)),
    "ids of a negative length": lambda: with_matrix("codes", lambda codes: put(0, 3, -1)(codes.astype(np.int32))),
    "ids of lengths without end": lambda: with_matrix(
        "codes", lambda codes: put(0, 3, (1 << 31) - 1)(put(0, 4, (1 << 31) - 1)(codes.astype(np.int32)))
    ),
    "an id cut within a character": lambda: with_matrix("codes", lambda codes: codes + np.uint8([0, 0, 0, 1, 255, 0])),
    "an id that is no UTF-8": lambda: with_matrix("ids", put(0, 0, 255)),
    "a weight of 0": lambda: with_matrix("numbers", put(0, 3, 0.0)),
    "a negative weight": lambda: with_matrix("numbers", put(0, 3, -1.0)),
    "an infinite weight": lambda: with_matrix("numbers", put(0, 3, math.inf)),
    "a weight that is no number": lambda: with_matrix("numbers", put(0, 3, math.nan)),
    "a probability that is no number": lambda: with_matrix("numbers", put(0, 0, math.nan)),
    "a probability that is a signalling NaN": lambda: with_matrix(
        "numbers", lambda numbers: put(0, 0, 0x7F800001)(numbers.view(np.uint32)).view(np.float32)
    ),
    "rows that are null": lambda: with_nulls("whole", inside=False),
    "numbers that are null": lambda: with_nulls("numbers", inside=True),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_one_error_that_names_its_place(name: str) -> None:
    with pytest.raises(MessageError, match=r"sie\.weights\.v1, partition 3, offset 1234") as refused:
        read_batch(contracts.to_message(HOSTILE[name]()), SOURCE, contracts.WEIGHTS)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


def test_without_the_damage_each_of_these_messages_can_be_read() -> None:
    for batch in (made(), with_head(), with_matrix("codes", np.array), with_matrix("ids", np.array)):
        assert len(read_batch(contracts.to_message(batch), SOURCE, contracts.WEIGHTS)) == 2


def test_samples_without_a_label_are_refused() -> None:
    batch = ipc.read_batch(packed_samples(sample_batch(1)).messages[0])
    at = batch.schema.get_field_index("codes")
    codes = pa.array([[1, 2, 1, 9]], pa.list_(pa.uint8(), 4))
    with pytest.raises(MessageError, match="labels"):
        read_batch(contracts.to_message(batch.set_column(at, "codes", codes)), SOURCE, SAMPLES)


def test_what_a_newer_worker_adds_comes_last() -> None:
    names = ["probability", "feature_score", "noise_probability", "weight", "uncertainty", "f_drift"]
    head = json.loads(with_head(numbers=names, later=1).schema.metadata[LAYOUT])
    wider = with_matrix("numbers", lambda numbers: np.hstack((numbers, np.float32([[0.5], [0.25]]))))
    batch = wider.append_column("later", pa.array(["a", "b"])).replace_schema_metadata({LAYOUT: json.dumps(head)})
    found = read_batch(contracts.to_message(batch), SOURCE, contracts.WEIGHTS)
    assert found.schema.names == [*contracts.WEIGHTS.names, "f_drift", "later"]
    assert found["f_drift"].to_pylist() == [0.5, 0.25]
    assert found[LEFT].to_pylist() == [-0.5, -0.25]
