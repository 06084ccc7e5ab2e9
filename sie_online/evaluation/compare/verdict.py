"""Helps, harms, or no evidence: one sentence of a comparison.

Judged are the gains in AUC and log loss of every learner, together: the level holds for all of them at once
(Bonferroni). Whatever they show must be more than what weights without information show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sie_online.evaluation.compare.figures import Population
from sie_online.evaluation.compare.scores import LEVEL, Gain

JUDGED = ("auc", "nll")
NAMES = {"auc": "AUC", "prauc": "PR-AUC", "nll": "log loss"}
LEAST_POSITIVES = 20
"""Of established accounts, or they cannot be judged apart."""

Word = Literal["helps", "harms", "no evidence"]


@dataclass(frozen=True)
class Verdict:
    """``population``: who was judged. The gains behind it are in the comparison."""

    word: Word
    sentence: str
    population: str


def judge(population: Population) -> Verdict:
    """What the weights did to the learners on ``population``.

    They harm if one gain is below 0 by evidence, they help if one is above 0 by evidence and beyond the permuted
    weights' too, and none is below.
    """
    gains = list(_judged(population))
    level = 1.0 - (1.0 - LEVEL) / len(gains)
    harms = [each for each in gains if each.gain.interval(level)[1] < 0.0]
    helps = [each for each in gains if each.gain.interval(level)[0] > 0.0 and each.known.interval(level)[0] > 0.0]
    if harms:
        return _verdict("harms", "The weights harm", harms, population)
    if helps:
        return _verdict("helps", "The weights help", helps, population)
    return _verdict("no evidence", "No evidence that the weights help or harm", gains, population)


@dataclass(frozen=True)
class _Judged:
    learner: str
    metric: str
    gain: Gain  # over uniform
    known: Gain  # over permuted

    def __str__(self) -> str:
        low, high = self.gain.interval()
        return f"{NAMES[self.metric]} {self.gain.value:+.4f} [{low:+.4f}, {high:+.4f}]"


def _judged(population: Population) -> Iterator[_Judged]:
    for learner in population.learners:
        for metric in JUDGED:
            yield _Judged(learner.name, metric, learner.published[metric], learner.known[metric])


def _verdict(word: Word, said: str, gains: Sequence[_Judged], population: Population) -> Verdict:
    by_learner = {each.learner: [str(one) for one in gains if one.learner == each.learner] for each in gains}
    shown = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in by_learner.items())
    return Verdict(word, f"{said} on {population.name}: gain of the {shown}.", population.name)
