"""What a comparison finds: scores and gains, by population, learner and weighting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sie_online.evaluation.compare.scores import Gain


@dataclass(frozen=True)
class ArmScores:
    """``values``: by metric, mean over seeds. ``gains``: over uniform weights, above 0 is better; None: of these."""

    name: str
    values: Mapping[str, float]
    gains: Mapping[str, Gain] | None


@dataclass(frozen=True)
class LearnerScores:
    """``published``: gain of the published weights over uniform ones, ``known``: over permuted ones; by metric.

    The deviations hold the draw of users, and the learner's path: how far the gains of permuted weights, which know
    nothing, lie apart.
    """

    name: str
    arms: Sequence[ArmScores]
    published: Mapping[str, Gain]
    known: Mapping[str, Gain]


@dataclass(frozen=True)
class Population:
    """Held-out samples that were scored."""

    name: str
    samples: int
    positives: int
    users: int
    learners: Sequence[LearnerScores]
