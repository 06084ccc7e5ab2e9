"""What rankers have counted, in an artifact: the same again, or a sentence that says what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import ArtifactError
from sie_online.ingest.events import Text
from sie_online.ranking.counts import Counts, counts_of, no_counts, packed
from streams.model_registry.prior_counts import counts_in, tensors_of_counts


def counted(*names: str) -> Counts:
    """Each item goes with the next one, the last with the first."""
    n, places = len(names), np.arange(len(names))
    items = Text.of([name.encode() for name in names])
    return counts_of(7, 1_000.0, items, places + 1.0, places, (places + 1) % n, places + 1.0)


PARTS = [counted("a", "b", "été"), no_counts(), counted("été", "x")]


def test_counts_of_every_partition_come_back_as_they_were() -> None:
    found = counts_in(tensors_of_counts(PARTS), len(PARTS))
    assert found is not None
    assert list(map(packed, found)) == list(map(packed, PARTS))


def test_an_artifact_of_partitions_that_do_not_recommend_has_none() -> None:
    assert counts_in({"linear.rows": np.zeros(1, np.int32)}, 3) is None


def changed(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> dict[str, NDArray[Any]]:
    tensors = tensors_of_counts(PARTS)
    return tensors | {f"counts.{name}": change(tensors[f"counts.{name}"])}


def put(at: int, value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def change(array: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array[at] = value
        return array

    return change


DAMAGE: dict[str, tuple[str, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "a partition too few": ("clock_ms", lambda array: array[:-1]),
    "of another kind": ("popularity", lambda array: array.astype(np.float64)),
    "a neighbour that there is not": ("neighbours", put(0, 3)),
    "a neighbour below zero": ("neighbours", put(0, -1)),
    "more items than there are": ("items", put(0, 9)),
    "items below zero": ("items", put(0, -1)),
    "pairs of another partition": ("pairs", lambda array: array[::-1]),
    "a count below zero": ("counts", put(0, -1.0)),
    "no text": ("ids", put(0, 0xFF)),
    "an id twice": ("ids", lambda array: np.full_like(array, ord("a"))),
    "ids that end early": ("id_bytes", put(0, 0)),
    "a pair too many": ("degrees", put(0, 2)),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_does_not_fit_is_refused(what: str) -> None:
    with pytest.raises(ArtifactError, match=r"counts\."):
        counts_in(changed(*DAMAGE[what]), len(PARTS))


@pytest.mark.parametrize("name", sorted(tensors_of_counts(PARTS)))
def test_a_tensor_that_is_missing_is_named(name: str) -> None:
    tensors = tensors_of_counts(PARTS)
    del tensors[name]
    with pytest.raises(ArtifactError, match=f"{name}' is missing"):
        counts_in(tensors, len(PARTS))
