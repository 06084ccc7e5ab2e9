"""Train every learner with every weighting, and score them all on what came later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.evaluation.compare.arms import PERMUTED, PUBLISHED, SEEDS, UNIFORM, Arm, arms
from sie_online.evaluation.compare.figures import ArmScores, LearnerScores, Population
from sie_online.evaluation.compare.learners import LEARNERS, Learner
from sie_online.evaluation.compare.scores import METRICS, Scores, scores
from sie_online.evaluation.compare.settled import Floats, Settled, split
from sie_online.evaluation.compare.verdict import LEAST_POSITIVES, Verdict, judge

ALL, ESTABLISHED = "all held-out samples", "established accounts"

Progress = Callable[[int, float], None]
"""Called after each training: how many so far, and the share of all in [0, 1]."""


class Guess(NamedTuple):
    """What a learner predicts of the held-out samples with one weighting, (seeds, n)."""

    learner: str
    arm: str
    predictions: Floats


@dataclass(frozen=True)
class Comparison:
    """``scored`` (n samples), which of them are ``judged`` (n,), and ``guesses`` are what pictures are drawn of."""

    learned: int
    populations: Sequence[Population]
    verdict: Verdict
    scored: Settled
    judged: NDArray[np.bool_]
    guesses: Sequence[Guess]


def compare(
    samples: Settled,
    is_established: Callable[[Settled], NDArray[np.bool_]],
    *,
    on_progress: Progress = lambda _done, _share: None,
) -> Comparison:
    """Train on what had settled when the held-out part begins, score that part, unweighted.

    Established accounts are judged where enough of theirs was positive, else all.

    Raises:
        UsageError: there is too little to compare (see `split`).
    """
    learned, scored = (samples.take(rows) for rows in split(samples))
    guesses = _trained(learned, scored, on_progress)
    judged, known = np.ones(len(scored), np.bool_), is_established(scored)
    populations = [_population(ALL, scored, guesses, judged)]
    if LEAST_POSITIVES <= scored.label[known].sum() < known.sum():
        populations.append(_population(ESTABLISHED, scored, guesses, known))
        judged = known
    return Comparison(len(learned), populations, judge(populations[-1]), scored, judged, guesses)


def _trained(learned: Settled, scored: Settled, on_progress: Progress) -> list[Guess]:
    weightings, guesses = arms(learned), []
    runs = [(learner, arm) for learner in LEARNERS for arm in weightings]
    total, done = sum(_seeds(*run) for run in runs), 0
    for learner, arm in runs:
        predictions = []
        for seed in range(_seeds(learner, arm)):
            predictions.append(learner.predictions(learned, arm.weights[seed % len(arm.weights)], scored, seed))
            done += 1
            on_progress(done, done / total)
        guesses.append(Guess(learner.name, arm.name, np.stack(predictions)))
    return guesses


def _seeds(learner: Learner, arm: Arm) -> int:
    return SEEDS if learner.is_random else len(arm.weights)


def _population(name: str, scored: Settled, guesses: Sequence[Guess], rows: NDArray[np.bool_]) -> Population:
    label, user = scored.label[rows], scored.user[rows]
    learners = []
    for learner in LEARNERS:
        own = [guess for guess in guesses if guess.learner == learner.name]
        found = scores(label, np.concatenate([guess.predictions for guess in own])[:, rows], user)
        learners.append(_learner(learner.name, own, found))
    return Population(name, len(label), int(label.sum()), len(np.unique(user)), learners)


def _learner(name: str, guesses: Sequence[Guess], found: Scores) -> LearnerScores:
    ends = np.cumsum([len(guess.predictions) for guess in guesses])
    places = {guess.arm: np.arange(end - len(guess.predictions), end) for guess, end in zip(guesses, ends, strict=True)}
    uniform, published, permuted = places[UNIFORM], places[PUBLISHED], places[PERMUTED]
    path = found.path(permuted, uniform)
    return LearnerScores(
        name,
        [
            ArmScores(
                arm,
                _by_metric(found.values[own].mean(axis=0).tolist()),
                None if arm == UNIFORM else _by_metric(found.gain(own, uniform)),
            )
            for arm, own in places.items()
        ],
        _by_metric([each.plus(more) for each, more in zip(found.gain(published, uniform), path, strict=True)]),
        _by_metric([each.plus(more) for each, more in zip(found.gain(published, permuted), path, strict=True)]),
    )


def _by_metric(values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(METRICS, values, strict=True))
