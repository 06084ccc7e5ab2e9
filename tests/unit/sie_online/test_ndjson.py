"""JSON lines say exactly what the Arrow rows say, to whoever reads them, and what others wrote does no harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online import content, contracts, ndjson, ndjson_text
from sie_online.client.rows import SAMPLES, Source, read_batch
from sie_online.errors import MessageError
from tests.support.rows import SOURCE, sample_batch, weight_batch, weight_row

ANYWHERE = Source("topic", 0, 0)
HOSTILE = 'say "no" \\ \x1b[2J\n\u202e\u2028\x00\x7f é 猫 😀 {}[],:'

texts = st.text(st.characters(codec="utf-8"), max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)
parts = st.floats(-600, 600)
numbers32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def weights(draw: Any) -> pa.RecordBatch:
    whole = st.integers(0, contracts.INT64_MAX - 2 * 10**12)  # times are counted from it
    rows = draw(
        st.lists(st.tuples(texts, texts, texts, whole, finite, parts, st.none() | st.integers(0, 1)), max_size=6)
    )
    return weight_batch(
        *(
            weight_row(
                offset,
                event_id=event,
                user_id=user,
                item_id=item,
                weight=weight,
                f_noise=part,
                label=label,
                error=None if label is None else weight,
                final=bool(label),
                event_type=contracts.EVENT_TYPES[offset % len(contracts.EVENT_TYPES)],
            )
            for event, user, item, offset, weight, part, label in rows
        )
    )


@st.composite
def samples(draw: Any) -> pa.RecordBatch:
    n = draw(st.integers(1, 5))
    batch = sample_batch(*range(n), n_features=3, n_dense=4)
    for name, kind, cells in (
        ("features", pa.uint32(), st.integers(0, 2**32 - 1)),
        ("dense", pa.float32(), numbers32),
    ):
        field = batch.schema.field(name)
        width = field.type.list_size
        flat = pa.array(draw(st.lists(cells, min_size=n * width, max_size=n * width)), kind)
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, field, pa.FixedSizeListArray.from_arrays(flat, width))
    return batch


def text(batch: pa.RecordBatch) -> bytes:
    return ndjson_text.lines(batch).data.tobytes()


def headers(batch: pa.RecordBatch) -> list[tuple[str, bytes]]:
    return list(content.of_metadata(batch.schema.metadata))


def bits(row: dict[str, Any]) -> dict[str, Any]:
    """``row`` with what tells -0.0 from 0.0, which are equal; and of ``dense`` what float32 makes of it."""
    found = {name: str(value) if isinstance(value, float) else value for name, value in row.items()}
    if "dense" in row:
        found["dense"] = np.array(row["dense"], np.float32).tobytes()
    return found


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.one_of(weights(), samples()))
def test_every_line_is_its_row(batch: pa.RecordBatch) -> None:
    parsed = [json.loads(line) for line in text(batch).splitlines()] if len(batch) else []
    assert [list(row) for row in parsed] == [batch.schema.names] * len(batch)
    assert list(map(bits, parsed)) == list(map(bits, batch.to_pylist()))


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.one_of(weights(), samples()).filter(len))
def test_lines_are_read_back_as_the_very_same_rows(batch: pa.RecordBatch) -> None:
    schema = contracts.WEIGHTS if "final" in batch.schema.names else SAMPLES
    read = read_batch(text(batch), ANYWHERE, schema, headers(batch))
    assert read.schema.equals(batch.schema, check_metadata=True)
    assert list(map(bits, read.to_pylist())) == list(map(bits, batch.to_pylist()))


def test_hostile_ids_steer_no_terminal_and_break_no_line() -> None:
    batch = weight_batch(weight_row(0, user_id=HOSTILE), weight_row(1, user_id="u", item_id="猫"))
    first, second, *rest = text(batch).decode().split("\n")
    assert rest == [""]
    assert first.isprintable()
    assert json.loads(first)["user_id"] == HOSTILE
    assert '"item_id":"猫"' in second  # what is printable stays readable


def test_a_part_of_a_batch_is_written_as_that_part() -> None:
    batch = weight_batch(*(weight_row(at, user_id=f"u{at}" if at % 2 else HOSTILE) for at in range(9)))
    assert text(batch.slice(3, 4)) == b"".join(text(batch).splitlines(keepends=True)[3:7])


def test_numbers_that_are_none_are_null() -> None:
    batch = weight_batch(weight_row(0, uncertainty=float("nan")), weight_row(1, uncertainty=float("inf")))
    assert [json.loads(line)["uncertainty"] for line in text(batch).splitlines()] == [None, None]
    with pytest.raises(MessageError, match="'uncertainty' has nulls"):
        read_batch(text(batch), ANYWHERE, contracts.WEIGHTS)


def test_numbers_in_lists_that_are_none_are_null() -> None:
    dense = pa.array([[float("nan"), -0.0], [0.5, float("-inf")]], pa.list_(pa.float32(), 2))
    lists = [json.loads(line)["dense"] for line in text(pa.record_batch({"dense": dense})).splitlines()]
    assert list(map(str, lists)) == ["[None, -0.0]", "[0.5, None]"]


def test_messages_are_whole_lines_within_the_limit_in_order() -> None:
    batch = weight_batch(*(weight_row(at) for at in range(300)))
    messages = list(ndjson_text.messages(batch, 20_000))
    assert max(map(len, messages)) <= 20_000 < 20_000 + len(text(batch)) // 300 * 2
    assert min(map(len, messages[:-1])) > 20_000 - 1_000
    assert b"".join(messages) == text(batch)
    assert all(message.endswith(b"}\n") for message in messages)


def test_a_row_beyond_the_limit_is_a_message_of_its_own_and_no_rows_are_none() -> None:
    batch = weight_batch(weight_row(0), weight_row(1, user_id="u" * 5_000), weight_row(2))
    assert [message.count(b"\n") for message in ndjson_text.messages(batch, 1_000)] == [1, 1, 1]
    assert list(ndjson_text.messages(weight_batch(), 1_000)) == []


def test_columns_added_later_are_handed_through() -> None:
    batch = weight_batch(weight_row(0), weight_row(1))
    newer = batch.append_column("f_later", pa.array([0.5, 0.25])).append_column("why", pa.array(["a", "b"]))
    read = read_batch(text(newer), ANYWHERE, contracts.WEIGHTS, headers(batch))
    assert read.schema.names == newer.schema.names
    assert read.to_pylist() == newer.to_pylist()


def test_a_factor_that_an_older_worker_did_not_know_comes_as_nulls() -> None:
    older = weight_batch(weight_row(0)).drop_columns(["f_influence"])
    assert read_batch(text(older), ANYWHERE, contracts.WEIGHTS)["f_influence"].null_count == 1


def test_features_are_named_in_the_headers() -> None:
    names = ("a", "b", "c"), ("x", "y")
    schema = contracts.samples_schema(SOURCE, 3, 2, "schema", *names)
    batch = sample_batch(1).cast(schema)
    read = read_batch(text(batch), ANYWHERE, SAMPLES, headers(batch)).schema
    assert (contracts.feature_names(read), contracts.dense_names(read)) == names


def changed(**values: Any) -> bytes:
    """A row of weights whose JSON says something else."""
    row = json.loads(text(weight_batch(weight_row(1)))) | values
    return json.dumps(row).encode() + b"\n"


def _deep(n: int) -> str:
    return '{"a":' * n + "1" + "}" * n


GOOD = text(weight_batch(weight_row(1)))
BAD: dict[str, Callable[[], bytes]] = {
    "no JSON": lambda: b"{\n",
    "an array behind": lambda: GOOD + b"[1]\n",
    "no UTF-8": lambda: GOOD.replace(b'"user"', b'"\xff\xfe"'),
    "no UTF-8 in a later line": lambda: GOOD + GOOD.replace(b'"user"', b'"\xff\xfe"'),
    "half a surrogate": lambda: GOOD + GOOD.replace(b'"user"', b'"\\ud800"'),
    "an offset of text": lambda: changed(offset="7"),
    "an offset that is no whole number": lambda: changed(offset=1.5),
    "a partition beyond 32 bits": lambda: changed(partition=1 << 40),
    "a label of text": lambda: changed(label="yes"),
    "a null revision": lambda: changed(revision=None),
    "NaN": lambda: GOOD.replace(b'"weight":2.0', b'"weight":NaN').replace(b'"weight":1.0', b'"weight":NaN'),
    "an endless number": lambda: changed() + changed().replace(b'"weight": 1.0', b'"weight": 1e999'),
    "a column twice": lambda: GOOD[:-2] + b',"offset":2}\n',
    "a column missing": lambda: GOOD.replace(b'"offset"', b'"offzet"'),
    "deep in the first line": lambda: changed()[:-2] + b',"x":' + _deep(100_000).encode() + b"}\n",
    "too many rows": lambda: GOOD + b"{}\n" * 70_000,
    "too many columns": lambda: json.dumps(json.loads(GOOD) | {f"c{at}": 1 for at in range(300)}).encode(),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_row_of_ours_is_refused(name: str) -> None:
    with pytest.raises(MessageError, match="no JSON lines of our rows"):
        read_batch(BAD[name](), ANYWHERE, contracts.WEIGHTS)


def test_what_lies_deep_in_a_later_line_is_passed_over() -> None:
    deep = GOOD[:-2] + b',"x":' + _deep(100_000).encode() + b"}\n"
    assert len(read_batch(GOOD + deep, ANYWHERE, contracts.WEIGHTS)) == 2


def test_headers_that_are_no_text_are_refused() -> None:
    with pytest.raises(MessageError, match="JSON lines"):
        read_batch(GOOD, ANYWHERE, contracts.WEIGHTS, [("sie-source-topic", b"\xff")])


@pytest.mark.parametrize("lists", [[[1, 2, 3], [1, 2]], [None, None]])
def test_lists_of_several_lengths_are_refused(lists: list[Any]) -> None:
    rows = [json.loads(line) for line in text(sample_batch(0, 1)).splitlines()]
    message = b"".join(
        json.dumps(row | {"features": features}).encode() + b"\n" for row, features in zip(rows, lists, strict=True)
    )
    with pytest.raises(MessageError, match="features"):
        read_batch(message, ANYWHERE, SAMPLES)


def test_the_other_layouts_are_told_apart_by_their_first_byte() -> None:
    assert ndjson.is_ndjson(GOOD)
    assert not ndjson.is_ndjson(contracts.to_message(weight_batch(weight_row(1))))


def test_the_kernel_does_what_its_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = weight_batch(*(weight_row(at, user_id=HOSTILE[:at]) for at in range(7)))
    compiled = text(batch)
    for name in ("join", "copy_bytes"):
        monkeypatch.setattr(ndjson_text, name, getattr(ndjson_text, name).py_func)
    assert text(batch) == compiled
