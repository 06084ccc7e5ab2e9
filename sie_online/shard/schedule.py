"""Model versions and their offsets: what a shard has adopted, and what is scheduled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.announcements import MODELS, NET, NOISE, Adoption
from sie_online.contracts import BUILTIN_MODEL
from sie_online.importance.influence import NetArrays
from sie_online.importance.noise.model import NoiseArrays
from sie_online.recommender.pooling import Gains

Artifact = NetArrays | Gains | NoiseArrays
"""What a version is to a shard: a net, what the other shards have learned, or what tells noise."""

NAMED = (NET, NOISE)
"""Models of which a snapshot names the version in force, and does not hold it."""


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
        others = {
            model: {"announced": self.announced[model], "version": self.versions[model]}
            for model in MODELS
            if model != NET
        }
        return {"announced": self.announced[NET], "model_version": self.versions[NET]} | others

    def restore(self, meta: Mapping[str, Any], at_hand: Collection[str]) -> None:
        """Go on with what ``meta`` says; where a model of `NAMED` is not ``at_hand``, as if not heard of since."""
        for model, (n, version) in _in_force(meta).items():
            lost = model in NAMED and version != BUILTIN_MODEL and model not in at_hand
            self.announced[model] = n - 1 if lost else n
            self.versions[model] = BUILTIN_MODEL if lost else version


def versions_named(meta: Mapping[str, Any]) -> dict[str, str]:
    """What must be at hand to restore a snapshot with this ``meta``: version in force by model, announced ones only."""
    found = _in_force(meta)
    return {model: found[model][1] for model in NAMED if found[model][1] != BUILTIN_MODEL}


def _in_force(meta: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    """Number and version by model; earlier snapshots do not name every model."""
    nothing = {"announced": 0, "version": BUILTIN_MODEL}
    said = {model: meta.get(model, nothing) for model in MODELS}
    said[NET] = {"announced": meta["announced"], "version": meta["model_version"]}
    return {model: (int(one["announced"]), str(one["version"])) for model, one in said.items()}
