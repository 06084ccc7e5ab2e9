"""Announced priors: what every partition has learned by itself, as one artifact.

Per table of coefficients (``linear``, ``factors``) three tensors: ``rows`` and ``values`` (`pooling.Gain`) of all
partitions, one after the other, and ``ends``, where each one's rows end; ``partitions`` names them, in this order.
Where partitions learn to rank, what they have counted for their lists lies beside it (`prior_lists`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtifactError
from models.manifest import Manifest
from models.snapshot import Tensors
from sie_online.announcements import RegisteredModel
from sie_online.ranking.pooling import bounded, summed
from sie_online.recommender.kernels import RecommenderArrays
from sie_online.recommender.pooling import TABLES, Gain, Gains, total
from sie_online.settings import Settings
from sie_online.shard.pooled import initial_recommender
from sie_online.shard.ranking import decay_per_ms
from streams.model_registry import artifacts
from streams.model_registry.prior_lists import list_tensors, lists_in
from streams.model_registry.versions import Versions
from streams.observe.metrics import Metrics
from streams.store import Store

Parts = Mapping[int, Gains]
"""What was learned, by partition."""

PARTITIONS = "partitions"


class Priors(Versions[Parts]):
    """Priors by version, and what of them a partition takes in."""

    def __init__(self, settings: Settings, store: Store, registered: RegisteredModel, metrics: Metrics) -> None:
        super().__init__(store, registered, metrics)
        self._settings = settings

    def for_partition(self, version: str, partition: int) -> Gains | None:
        """What all partitions but ``partition`` have learned; None for the built-in version."""
        parts = self.get(version)
        if parts is None:
            return None
        others = [part for number, part in sorted(parts.items()) if number != partition]
        counted = [part.neighbourhoods for part in others if part.neighbourhoods is not None]
        together = bounded(summed(counted, decay_per_ms(self._settings))) if counted else None
        return total(others, self._start)._replace(neighbourhoods=together)

    @cached_property
    def _start(self) -> RecommenderArrays:
        return initial_recommender(self._settings)

    def _of(self, manifest: Manifest) -> Parts:
        return parts_of(artifacts.tensors(self._store, manifest), self._start._asdict())


def tensors_of(parts: Parts) -> dict[str, NDArray[Any]]:
    """The artifact's tensors."""
    numbers = sorted(parts)
    found: dict[str, NDArray[Any]] = {PARTITIONS: np.array(numbers, np.int64)}
    for table in TABLES:
        gains = [getattr(parts[number], table) for number in numbers]
        found[f"{table}.rows"] = np.concatenate([gain.rows for gain in gains])
        found[f"{table}.values"] = np.concatenate([gain.values for gain in gains])
        found[f"{table}.ends"] = np.cumsum([len(gain.rows) for gain in gains])
    return found | list_tensors([parts[number].neighbourhoods for number in numbers])


def parts_of(tensors: Tensors, like: Mapping[str, NDArray[Any]]) -> Parts:
    """The parts in ``tensors``, fit for tables ``like`` these.

    Raises:
        ArtifactError: they are no priors, or not of such tables.
    """
    try:
        numbers = _partitions(tensors[PARTITIONS])
        tables = [_split(tensors, table, len(numbers), like[table]) for table in TABLES]
    except KeyError as error:
        raise ArtifactError(f"tensor {error} is missing: these are no priors") from None
    learned = zip(numbers, *tables, lists_in(tensors, len(numbers)), strict=True)
    return {number: Gains(*each) for number, *each in learned}


def _partitions(named: NDArray[Any]) -> list[int]:
    if named.dtype != np.int64 or named.ndim != 1 or (named < 0).any() or len(np.unique(named)) < len(named):
        raise ArtifactError(f"tensor {PARTITIONS!r} names no partitions, or one twice")
    numbers: list[int] = named.tolist()
    return numbers


def _split(tensors: Tensors, table: str, n: int, like: NDArray[Any]) -> list[Gain]:
    rows, values, ends = (tensors[f"{table}.{part}"] for part in ("rows", "values", "ends"))
    fits = rows.dtype == np.int32 and values.dtype == np.float32 and ends.dtype == np.int64
    fits = fits and rows.ndim == 1 and values.shape == (rows.size, *like.shape[1:]) and ends.shape == (n,)
    if not fits or (ends < 0).any() or (ends[1:] < ends[:-1]).any() or rows.size != (ends[-1] if n else 0):
        raise ArtifactError(f"the tensors of {table!r} do not fit the recommender, or not each other")
    begins = np.concatenate([[0], ends[:-1]])
    gains = [Gain(rows[begin:end], values[begin:end]) for begin, end in zip(begins, ends, strict=True)]
    if any(len(gain.rows) and not _ascend(gain.rows, len(like)) for gain in gains):
        raise ArtifactError(f"tensor '{table}.rows' names rows that the recommender does not have, or one twice")
    return gains


def _ascend(rows: NDArray[np.int32], limit: int) -> bool:
    return bool(rows[0] >= 0 and rows[-1] < limit and (np.diff(rows) > 0).all())
