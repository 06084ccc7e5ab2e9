"""What partitions have counted for their lists, in the artifact of priors: one after the other, under ``lists.…``.

Of each partition (p,): ``as_of_ms``, and how many ``items``, ``pairs``, ``categories`` and ``entries`` are its own. Of
each item: how many bytes of ``ids`` its id has, and its popularity. Of each pair of neighbours, and each entry of what
is popular in a category: ``owner`` and ``item``, by their places among the partition's, and ``counts``. All of it is
there, or nothing: then no partition learns to rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtifactError
from models.snapshot import Tensors
from sie_online.ingest.events import Text
from sie_online.ranking.pooling import Listed, Neighbourhoods

PREFIX = "lists."
SIZES = ("items", "pairs", "categories", "entries")
Kinds = Mapping[str, type[np.generic]]
LISTED: Kinds = {"owner": np.int32, "item": np.int32, "counts": np.float32}
KINDS: Mapping[str, Kinds] = {
    "items": {"id_bytes": np.int32, "popularity": np.float32},
    "pairs": {f"neighbours.{name}": kind for name, kind in LISTED.items()},
    "categories": {"category_keys": np.uint64},
    "entries": {f"popular.{name}": kind for name, kind in LISTED.items()},
}
"""Columns by what they have a value for."""

Columns = Mapping[str, NDArray[Any]]


def list_tensors(parts: Sequence[Neighbourhoods | None]) -> dict[str, NDArray[Any]]:
    """The tensors of ``parts``, in their order; none where no part has counted anything."""
    if not any(part is not None for part in parts):
        return {}
    columns = [_columns(part) for part in parts]
    found = {
        name: np.concatenate([each[name] for each in columns]).astype(kind)
        for kinds in KINDS.values()
        for name, kind in kinds.items()
    }
    found["ids"] = np.concatenate([each["ids"] for each in columns])
    found["as_of_ms"] = np.array([0 if part is None else part.as_of_ms for part in parts], np.int64)
    for size in SIZES:
        found[size] = np.array([len(each[next(iter(KINDS[size]))]) for each in columns], np.int64)
    return {f"{PREFIX}{name}": column for name, column in found.items()}


def lists_in(tensors: Tensors, n: int) -> list[Neighbourhoods | None]:
    """What is in ``tensors`` of each of ``n`` partitions; None of those that have counted nothing.

    Raises:
        ArtifactError: the columns do not fit each other.
    """
    given = {name.removeprefix(PREFIX): column for name, column in tensors.items() if name.startswith(PREFIX)}
    if not given:
        return [None] * n
    try:
        _check(given, n)
        return [_part(given, number) if given["items"][number] else None for number in range(n)]
    except KeyError as error:
        raise ArtifactError(f"tensor '{PREFIX}{error.args[0]}' is missing") from None
    except UnicodeError:
        raise ArtifactError(f"tensor '{PREFIX}ids' holds what is no UTF-8") from None


def _columns(part: Neighbourhoods | None) -> Columns:
    if part is None:
        nothing = {name: np.empty(0, kind) for kinds in KINDS.values() for name, kind in kinds.items()}
        return nothing | {"ids": np.empty(0, np.uint8)}
    ids: list[bytes] = part.ids.tolist()
    found: dict[str, NDArray[Any]] = {
        "id_bytes": np.array([len(each) for each in ids], np.int32),
        "ids": np.frombuffer(b"".join(ids), np.uint8),
        "popularity": part.popularity,
        "category_keys": part.category_keys,
    }
    for name, listed in (("neighbours", part.neighbours), ("popular", part.popular)):
        found |= {f"{name}.{column}": values for column, values in listed._asdict().items()}
    return found


def _check(given: Columns, n: int) -> None:
    _require(given["as_of_ms"].dtype == np.int64 and given["as_of_ms"].shape == (n,), "as_of_ms")
    for size in SIZES:
        _require(given[size].dtype == np.int64 and given[size].shape == (n,) and not (given[size] < 0).any(), size)
        for name, kind in KINDS[size].items():
            _require(given[name].dtype == kind and given[name].shape == (given[size].sum(),), name)
            _require((np.isfinite(given[name]) & (given[name] >= 0)).all(), name)
    _require(given["ids"].dtype == np.uint8 and given["ids"].shape == (given["id_bytes"].sum(dtype=np.int64),), "ids")


def _part(given: Columns, number: int) -> Neighbourhoods:
    own = {name: _of(column, given[size], number) for size in SIZES for name, column in _named(given, size)}
    begin = int(given["id_bytes"][: _begin(given["items"], number)].sum(dtype=np.int64))
    data = given["ids"][begin : begin + int(own["id_bytes"].sum(dtype=np.int64))]
    items = Text(np.cumsum([0, *own["id_bytes"]], dtype=np.int32), data)
    ids = list(items.values())
    keys, categories = items.keys(), own["category_keys"]
    _require(len(set(ids)) == len(ids) == len({each.decode() for each in ids} - {""}), "ids")
    _require((keys[1:] > keys[:-1]).all(), "ids")
    _require((categories[1:] > categories[:-1]).all(), "category_keys")
    return Neighbourhoods(
        as_of_ms=int(given["as_of_ms"][number]),
        keys=keys,
        ids=np.array(ids, np.bytes_),
        popularity=own["popularity"].astype(np.float64),
        neighbours=_listed(own, "neighbours", len(ids), len(ids)),
        category_keys=categories,
        popular=_listed(own, "popular", len(categories), len(ids)),
    )


def _listed(own: Columns, name: str, owners: int, items: int) -> Listed:
    owner, item, counts = (own[f"{name}.{column}"] for column in LISTED)
    _require((owner < owners).all() and (item < items).all(), name)
    _require(len(np.unique(owner.astype(np.int64) * items + item)) == len(owner), name)
    return Listed(owner, item, counts.astype(np.float64))


def _named(given: Columns, size: str) -> list[tuple[str, NDArray[Any]]]:
    return [(name, given[name]) for name in KINDS[size]]


def _begin(sizes: NDArray[Any], number: int) -> int:
    return int(sizes[:number].sum())


def _of(column: NDArray[Any], sizes: NDArray[Any], number: int) -> NDArray[Any]:
    """What of ``column`` is the ``number``-th partition's."""
    begin = _begin(sizes, number)
    return column[begin : begin + int(sizes[number])]


def _require(fits: Any, name: str) -> None:
    if not fits:
        raise ArtifactError(f"tensor '{PREFIX}{name}' does not fit the others, or is no count")
