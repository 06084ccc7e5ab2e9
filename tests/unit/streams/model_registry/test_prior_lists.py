"""What partitions have counted, in an artifact: the same again, or a sentence that says what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import ArtifactError
from sie_online.ranking.pooling import pack
from streams.model_registry.prior_lists import list_tensors, lists_in
from tests.support.neighbourhoods import neighbourhoods

PARTS = [
    neighbourhoods({"a": 3, "b": 2, "été": 1.5}, {("a", "b"): 2, ("b", "a"): 2, ("été", "a"): 1}),
    None,
    neighbourhoods({"été": 5, "x": 1}, {("x", "été"): 4}, as_of_ms=7),
]


def test_what_every_partition_has_counted_comes_back_as_it_was() -> None:
    found = lists_in(list_tensors(PARTS), len(PARTS))
    assert [each and pack(each) for each in found] == [each and pack(each) for each in PARTS]


def test_an_artifact_of_partitions_that_do_not_rank_has_none() -> None:
    assert list_tensors([None, None]) == {}
    assert lists_in({"linear.rows": np.zeros(1, np.int32)}, 3) == [None, None, None]


Change = Callable[[NDArray[Any]], NDArray[Any]]


def put(at: int, value: float) -> Change:
    def change(column: NDArray[Any]) -> NDArray[Any]:
        column = column.copy()
        column[at] = value
        return column

    return change


DAMAGE: dict[str, tuple[str, Change]] = {
    "a partition too few": ("as_of_ms", lambda column: column[:-1]),
    "of another kind": ("popularity", lambda column: column.astype(np.float64)),
    "a neighbour that there is not": ("neighbours.item", put(0, 3)),
    "a neighbour below zero": ("neighbours.item", put(0, -1)),
    "an owner that there is not": ("neighbours.owner", put(-1, 2)),
    "a pair twice": ("neighbours.owner", lambda column: column * 0),
    "more items than there are": ("items", put(0, 9)),
    "items below zero": ("items", put(0, -1)),
    "pairs of another partition": ("pairs", lambda column: column[::-1]),
    "a count below zero": ("neighbours.counts", put(0, -1.0)),
    "a count that is no number": ("neighbours.counts", put(0, np.nan)),
    "a count without end": ("popularity", put(0, np.inf)),
    "a category that there is not": ("popular.owner", put(0, 1)),
    "a category twice": ("categories", lambda column: np.array([2, 0, 0])),
    "no text": ("ids", put(0, 0xFF)),
    "an id twice": ("ids", lambda column: np.full_like(column, ord("a"))),
    "ids that end early": ("id_bytes", put(0, 0)),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_does_not_fit_is_refused(what: str) -> None:
    name, change = DAMAGE[what]
    tensors = list_tensors(PARTS)
    with pytest.raises(ArtifactError, match=r"lists\."):
        lists_in(tensors | {f"lists.{name}": change(tensors[f"lists.{name}"])}, len(PARTS))


@pytest.mark.parametrize("name", sorted(list_tensors(PARTS)))
def test_a_tensor_that_is_missing_is_named(name: str) -> None:
    tensors = list_tensors(PARTS)
    del tensors[name]
    with pytest.raises(ArtifactError, match=f"{name}' is missing"):
        lists_in(tensors, len(PARTS))
