"""Hashes of text columns: those of the kernels, however the column is laid out, and the same for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.hashing import hash_column
from sie_online.text_hashes import hash_texts

TEXTS = st.lists(st.none() | st.text(max_size=40), max_size=30)
GOLDEN = {"": 0, "a": 0x82A2A958A9BECE5B, "t0001112": 0xB28152E544A344B2, "æøå\0🛒": 0x40EA7B3B1F1F51B8}


def by_kernel(texts: list[str | None]) -> list[int]:
    encoded = [(text or "").encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    out = np.empty(len(texts), np.uint64)
    hash_column(ends, np.frombuffer(b"".join(encoded) or b"\0", np.uint8), out)
    return list(out.tolist())


@given(TEXTS, st.sampled_from([pa.string(), pa.large_string()]))
def test_they_are_the_kernels_hashes(texts: list[str | None], kind: Any) -> None:
    assert hash_texts(pa.array(texts, kind)).tolist() == by_kernel(texts)


@given(TEXTS, st.data())
def test_layout_does_not_matter(texts: list[str | None], data: st.DataObject) -> None:
    column, expected = pa.array(texts, pa.string()), by_kernel(texts)
    at = data.draw(st.integers(0, len(texts)))
    assert hash_texts(column.dictionary_encode()).tolist() == expected
    assert hash_texts(pa.chunked_array([column.slice(0, at), column.slice(at)])).tolist() == expected
    assert hash_texts(column.slice(at)).tolist() == expected[at:]


@pytest.mark.parametrize(("text", "expected"), GOLDEN.items(), ids=repr)
def test_a_hash_never_changes(text: str, expected: int) -> None:
    assert hash_texts(pa.array([text])).tolist() == [expected]


def test_the_longest_id_that_settings_allow_is_hashed_beside_short_ones() -> None:
    texts: list[str | None] = ["x" * 4_096, "y", "x" * 4_095]
    assert hash_texts(pa.array(texts)).tolist() == by_kernel(texts)


@pytest.mark.parametrize("column", [pa.array([1, 2]), pa.array([b"x"]), pa.array([None])], ids=str)
def test_what_is_no_text_is_refused(column: Any) -> None:
    with pytest.raises(TypeError, match="not text"):
        hash_texts(column)


def test_a_column_without_chunks_has_no_hashes() -> None:
    assert hash_texts(pa.chunked_array([], pa.string())).tolist() == []
