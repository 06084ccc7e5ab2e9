"""Model versions and their offsets: what a shard has adopted, and what is scheduled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.announcements import MODELS, NET, NOISE, PRIORS, Adoption
from sie_online.contracts import BUILTIN_MODEL
from sie_online.importance.influence import NetArrays
from sie_online.importance.noise.model import NoiseArrays
from sie_online.recommender.pooling import Gains

Artifact = NetArrays | Gains | NoiseArrays
"""What a version is to a shard: a net, what the other shards have learned, or what evidence says of noise."""


class Planned(NamedTuple):
    """What will be in force from ``adoption.offset`` on; ``artifact`` None: the built-in model, or nothing."""

    adoption: Adoption
    artifact: Artifact | None


class Schedule:
    """Adoptions by offset. A late one may apply before one that was announced earlier.

    Attributes:
        announced: number of the announcement in force, by model; 0 before the first.
        versions: version in force, by model.
    """

    def __init__(self) -> None:
        self.announced = dict.fromkeys(MODELS, 0)
        self.versions = dict.fromkeys(MODELS, BUILTIN_MODEL)
        self._planned: list[Planned] = []

    def add(self, adoption: Adoption, artifact: Artifact | None) -> None:
        """Plan one more."""
        self._planned.append(Planned(adoption, artifact))
        self._planned.sort(key=lambda planned: (planned.adoption.offset, planned.adoption.model, planned.adoption.n))

    def latest_known(self, model: str) -> int:
        """Number of the newest announcement of ``model`` that is in force or planned."""
        planned = (adoption.n for adoption, _ in self._planned if adoption.model == model)
        return max(self.announced[model], *planned, 0)

    def due(self, offset: int) -> Iterator[Planned]:
        """Take out everything that applies to ``offset``."""
        while self._planned and self._planned[0].adoption.offset <= offset:
            yield self._planned.pop(0)

    def next_adoption_row(self, offsets: NDArray[np.int64]) -> int:
        """The row of ``offsets`` (ascending) at which the next adoption is due; their number if none is."""
        if not self._planned:
            return len(offsets)
        return int(np.searchsorted(offsets, self._planned[0].adoption.offset))

    def adopted(self, adoption: Adoption, *, builtin: bool) -> None:
        """Note what is in force now; ``builtin``: no announced version is."""
        self.announced[adoption.model] = adoption.n
        self.versions[adoption.model] = BUILTIN_MODEL if builtin else adoption.version

    def meta(self) -> dict[str, Any]:
        """What a snapshot says of the versions in force."""
        return {
            "announced": self.announced[NET],
            "model_version": self.versions[NET],
            **{name: {"announced": self.announced[name], "version": self.versions[name]} for name in (PRIORS, NOISE)},
        }

    def restore(self, meta: Mapping[str, Any], *, lost: Collection[str] = ()) -> None:
        """Go on with what ``meta`` says; of the models ``lost`` as if their announcements had not been heard of."""
        self.announced[NET] = int(meta["announced"])
        for model in MODELS:
            self.versions[model] = version_in(meta, model)
            if model != NET and model in meta:
                self.announced[model] = int(meta[model]["announced"])
            if model in lost and self.versions[model] != BUILTIN_MODEL:
                self.announced[model] -= 1
                self.versions[model] = BUILTIN_MODEL


def version_in(meta: Mapping[str, Any], model: str) -> str:
    """Version of ``model`` in force as a snapshot's ``meta`` says; earlier snapshots do not speak of every model."""
    return str(meta["model_version"] if model == NET else meta.get(model, {}).get("version", BUILTIN_MODEL))
