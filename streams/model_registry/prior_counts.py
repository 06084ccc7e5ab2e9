"""What rankers have counted, in the artifact of priors: the counts of all partitions, one after the other.

Of each partition (p,): ``counts.clock_ms``, ``counts.half_life_ms``, and how many ``counts.items`` and ``counts.pairs``
are its own. Of each item: how many bytes of ``counts.ids`` are its id's, its popularity, and how many pairs it begins.
Of each pair: the neighbour, by its place among the partition's items, and the count. All of it is there, or nothing:
then no partition recommends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtifactError
from models.snapshot import Tensors
from sie_online.ranking.counts import Counts

PREFIX = "counts."
Kinds = Mapping[str, type[np.generic]]
OF_PARTITIONS: Kinds = {"clock_ms": np.int64, "half_life_ms": np.float64, "items": np.int64, "pairs": np.int64}
OF_ITEMS: Kinds = {"id_bytes": np.int32, "popularity": np.float32, "degrees": np.int32}
OF_PAIRS: Kinds = {"neighbours": np.int32, "counts": np.float32}


def tensors_of_counts(parts: Sequence[Counts]) -> dict[str, NDArray[Any]]:
    """The tensors of ``parts``, in their order."""
    found: dict[str, NDArray[Any]] = {
        "clock_ms": np.array([part.clock_ms for part in parts], np.int64),
        "half_life_ms": np.array([part.half_life_ms for part in parts], np.float64),
        "items": np.array([part.n for part in parts], np.int64),
        "pairs": np.array([len(part.counts) for part in parts], np.int64),
        "ids": np.concatenate([part.ids for part in parts]),
        "id_bytes": np.concatenate([np.diff(part.at) for part in parts]),
        "popularity": np.concatenate([part.popularity for part in parts]),
        "degrees": np.concatenate([np.diff(part.ends, prepend=0).astype(np.int32) for part in parts]),
        "neighbours": np.concatenate([part.neighbours for part in parts]),
        "counts": np.concatenate([part.counts for part in parts]),
    }
    return {f"{PREFIX}{name}": array for name, array in found.items()}


def counts_in(tensors: Tensors, n: int) -> list[Counts] | None:
    """The counts of ``n`` partitions in ``tensors``; None where there are none.

    Raises:
        ArtifactError: they do not fit each other.
    """
    given = {name.removeprefix(PREFIX): array for name, array in tensors.items() if name.startswith(PREFIX)}
    if not given:
        return None
    try:
        _check_shapes(given, n)
        return [_part(given, number) for number in range(n)]
    except KeyError as error:
        raise ArtifactError(f"tensor '{PREFIX}{error.args[0]}' is missing") from None
    except UnicodeError:
        raise ArtifactError(f"tensor '{PREFIX}ids' holds what is no UTF-8") from None


def _check_shapes(given: Mapping[str, NDArray[Any]], n: int) -> None:
    items, pairs = (_total(given[name]) for name in ("items", "pairs"))
    for kinds, size in ((OF_PARTITIONS, n), (OF_ITEMS, items), (OF_PAIRS, pairs)):
        for name, dtype in kinds.items():
            _require(given[name].dtype == dtype and given[name].shape == (size,), name)
            _require(name == "clock_ms" or not (given[name] < 0).any(), name)
    _require(given["ids"].dtype == np.uint8 and given["ids"].shape == (_total(given["id_bytes"]),), "ids")
    _require(_total(given["degrees"]) == pairs, "degrees")


def _part(given: Mapping[str, NDArray[Any]], number: int) -> Counts:
    items, pairs = (_span(given[name], number) for name in ("items", "pairs"))
    ids = slice(*(int(given["id_bytes"][:edge].sum()) for edge in (items.start, items.stop)))
    part = Counts(
        clock_ms=int(given["clock_ms"][number]),
        half_life_ms=float(given["half_life_ms"][number]),
        at=np.cumsum([0, *given["id_bytes"][items]], dtype=np.int32),
        ids=given["ids"][ids],
        popularity=given["popularity"][items],
        ends=given["degrees"][items].cumsum(dtype=np.int64),
        neighbours=given["neighbours"][pairs],
        counts=given["counts"][pairs],
    )
    _require(int(part.ends[-1] if part.n else 0) == len(part.counts), "degrees")
    _require(not (part.neighbours >= part.n).any(), "neighbours")
    names = [item.decode() for item in part.items.values()]
    _require(len(set(names)) == part.n and "" not in names, "ids")
    _require(len(np.unique(part.owners() * max(part.n, 1) + part.neighbours)) == len(part.counts), "neighbours")
    return part


def _span(sizes: NDArray[Any], number: int) -> slice:
    end = int(sizes[: number + 1].sum())
    return slice(end - int(sizes[number]), end)


def _total(sizes: NDArray[Any]) -> int:
    _require(sizes.ndim == 1 and not (sizes < 0).any(), "sizes")
    return int(sizes.sum(dtype=np.int64))


def _require(fits: bool, name: str) -> None:
    if not fits:
        raise ArtifactError(f"tensor '{PREFIX}{name}' does not fit the others, or is no count")
