"""What is found of mixtures: detection, what innocents lose, and how much of a perfect detector's gain is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sie_online.evaluation.compare.scores import METRICS, Gain


class InnocentFound(NamedTuple):
    """One innocent behaviour: mean weight of its ``events`` against that of the events that were there."""

    family: str
    events: int
    weight: float


@dataclass(frozen=True)
class MixtureFound:
    """One mixture with polluting behaviours of one family.

    Attributes:
        events: polluting; ``share``: of all.
        auc: of P(noise) as last stated, polluting against all other events; None: too few.
        untouched_noise: mean P(noise) of the events that were there.
        published, perfect: gain over uniform weights, by metric.
    """

    family: str
    seed: int
    events: int
    share: float
    auc: float | None
    untouched_noise: float
    published: Mapping[str, Gain]
    perfect: Mapping[str, Gain]
    innocents: Sequence[InnocentFound]


@dataclass(frozen=True)
class FamilyFound:
    """All mixtures of one family: mean AUC, and R = gain of the published weights / gain of perfect ones, by metric.

    R is None where no gain of perfect weights is certain: there is nothing to recover.
    """

    family: str
    mixtures: int
    events: int
    auc: float | None
    recovered: Mapping[str, float | None]
    perfect: Mapping[str, Gain]


@dataclass(frozen=True)
class Pollution:
    """``events`` of the log were mixed into; ``left_out``: families that the log has not what they need for."""

    events: int
    seeds: Sequence[int]
    mixtures: Sequence[MixtureFound]
    left_out: Sequence[str]

    def families(self) -> list[FamilyFound]:
        """By family, in order of the mixtures."""
        names = dict.fromkeys(mixture.family for mixture in self.mixtures)
        return [_family(name, [each for each in self.mixtures if each.family == name]) for name in names]

    def together(self) -> FamilyFound:
        """All mixtures as if they were of one family."""
        return _family("all families", self.mixtures)

    def innocents(self) -> list[InnocentFound]:
        """By innocent family: events together, mean weight over behaviours."""
        found = [innocent for mixture in self.mixtures for innocent in mixture.innocents]
        by_name = {name: [each for each in found if each.family == name] for name in sorted({i.family for i in found})}
        return [
            InnocentFound(name, sum(each.events for each in own), float(np.mean([each.weight for each in own])))
            for name, own in by_name.items()
        ]


def _family(name: str, mixtures: Sequence[MixtureFound]) -> FamilyFound:
    aucs = [each.auc for each in mixtures if each.auc is not None]
    perfect = {metric: pooled([each.perfect[metric] for each in mixtures]) for metric in METRICS}
    published = {metric: pooled([each.published[metric] for each in mixtures]) for metric in METRICS}
    return FamilyFound(
        name,
        len(mixtures),
        sum(each.events for each in mixtures),
        float(np.mean(aucs)) if aucs else None,
        {metric: _recovered(published[metric], perfect[metric]) for metric in METRICS},
        perfect,
    )


def _recovered(published: Gain, perfect: Gain) -> float | None:
    return published.value / perfect.value if perfect.interval()[0] > 0.0 else None


def pooled(gains: Sequence[Gain]) -> Gain:
    """Their mean. The mixtures are of one log and have its users in common, so they are no independent evidence."""
    return Gain(float(np.mean([each.value for each in gains])), float(np.mean([each.deviation for each in gains])))
