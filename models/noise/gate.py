"""The noise model's gate: no candidate is announced without evidence that it helps against noise nobody described.

It is judged on mixtures of families of behaviour that it was not fitted on: by the worst of them and the median; by
whether it detects them better than the model in force, family by family; by what it makes of innocent oddities and of
what nobody suspected in the window; and by what its weights gain there. And it must still find what the model in force
takes for noise in the window: what has learned a log's pollution as ordinary finds injected behaviours all the better.
What is in force is held to the same: its own figures without a ``current`` must pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from models.gate import CANDIDATE, CURRENT
from models.manifest import Verdict
from models.settings import NoiseGate

ERRORS = 1.4
"""Standard errors in a one-sided bound of some 90 %, of a mean over ten families or more (Student 1908)."""
HARMLESS = {"innocent": 0.0, "clean": 0.0, "gain": math.inf, "kept": 1.0}
"""Figures that tell harm, as they are where they tell none."""


@dataclass(frozen=True)
class NoiseFigures:
    """What one model showed on held-out mixtures."""

    auc: Mapping[str, float]
    """Of detection, by family that was held out."""
    innocent: float
    """Mean P(noise) of events of innocent behaviours."""
    clean: float
    """Mean P(noise) of what the model in force does not suspect in the window."""
    gain: float
    """What its weights gain a learner over weights all equal; in any unit, above 0 where they help."""
    kept: float
    """AUC with which it tells what the model in force takes for noise, in the window as it is, from the rest."""

    @property
    def worst(self) -> tuple[str, float]:
        """The family that is detected worst, and its AUC."""
        return min(self.auc.items(), key=lambda each: (each[1], each[0]))

    @property
    def median(self) -> float:
        """AUC of the median family."""
        return median(self.auc.values())

    def figures(self) -> dict[str, float | None]:
        """By name; what is not finite as None."""
        known = {"worst_auc": self.worst[1], "median_auc": self.median} if self.auc else {}
        known |= {"innocent": self.innocent, "clean": self.clean, "gain": self.gain, "kept": self.kept}
        known |= {f"auc.{family}": value for family, value in sorted(self.auc.items())}
        return {name: value if math.isfinite(value) else None for name, value in known.items()}


def together(folds: Sequence[NoiseFigures]) -> NoiseFigures:
    """Figures of one way to fit over folds of the families: every family's AUC, and the means of the rest."""
    rest = {name: mean(getattr(one, name) for one in folds) for name in ("innocent", "clean", "gain", "kept")}
    return NoiseFigures({family: value for one in folds for family, value in one.auc.items()}, **rest)


def judge(candidate: NoiseFigures, current: NoiseFigures | None, settings: NoiseGate) -> Verdict:
    """Whether ``candidate`` may take the place of ``current`` (None: nothing to compare with), on the same mixtures."""
    report = {CANDIDATE: candidate.figures()} | ({} if current is None else {CURRENT: current.figures()})
    reasons = tuple(_unknown(candidate)) or (
        *_floors(candidate, settings),
        *(() if current is None else _behind(candidate, current, settings)),
        *_caps(candidate, settings),
        *_gain(candidate, settings),
    )
    return Verdict(not reasons, reasons, report)


def withdrawal(verdict: Verdict, settings: NoiseGate) -> tuple[str, ...]:
    """Why the model in force is to be taken back; nothing where it may stay.

    It passed once. By the figures of a ``verdict`` that refused its successor it now does harm: to innocents, to what
    it does not even suspect in the window, or to a learner.
    """
    found = verdict.report.get(CURRENT)
    if verdict.passed or found is None:
        return ()
    known = HARMLESS | {name: value for name in HARMLESS if (value := found.get(name)) is not None}
    current = NoiseFigures({}, **known)
    return (*_caps(current, settings), *_gain(current, settings))


def _unknown(candidate: NoiseFigures) -> Iterator[str]:
    if not candidate.auc:
        yield "no family was held out: how it does on noise that it was not fitted on is not known"
    missing = [name for name, value in candidate.figures().items() if value is None]
    if missing:
        yield f"no finite figure for {', '.join(missing)}"


def _floors(candidate: NoiseFigures, settings: NoiseGate) -> Iterator[str]:
    family, worst = candidate.worst
    if worst < settings.worst_auc:
        yield f"AUC {worst:.4f} of the worst held-out family, {family}, is below {settings.worst_auc:g}"
    if candidate.median < settings.median_auc:
        yield f"AUC {candidate.median:.4f} of the median held-out family is below {settings.median_auc:g}"


def _behind(candidate: NoiseFigures, current: NoiseFigures, settings: NoiseGate) -> Iterator[str]:
    shared = [(candidate.auc[one], theirs) for one, theirs in current.auc.items() if one in candidate.auc]
    gains = [ours - theirs for ours, theirs in shared if math.isfinite(theirs)]
    if gains:
        error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
        if not mean(gains) - ERRORS * error > settings.auc_gain:
            yield (
                f"AUC of held-out families is {mean(gains):+.4f} on the mean against the model in force, with a "
                f"standard error of {error:.4f}: that it is above {settings.auc_gain:g} is not sure"
            )
        (family, worst), (theirs, least) = candidate.worst, current.worst
        if worst < least - settings.auc_slack:
            yield (
                f"AUC {worst:.4f} of the worst held-out family, {family}, is below the {least:.4f} that the model in "
                f"force has on its worst, {theirs}"
            )
    if candidate.kept < current.kept - settings.kept_slack:
        yield (
            f"AUC {candidate.kept:.4f} of what the model in force takes for noise in the window as it is is below its "
            f"own {current.kept:.4f}"
        )


def _caps(candidate: NoiseFigures, settings: NoiseGate) -> Iterator[str]:
    if candidate.innocent > settings.innocent_cap:
        yield f"mean P(noise) {candidate.innocent:.4f} of innocent behaviours is above {settings.innocent_cap:g}"
    if candidate.clean > settings.clean_cap:
        yield f"mean P(noise) {candidate.clean:.4f} of what nobody suspected is above {settings.clean_cap:g}"


def _gain(candidate: NoiseFigures, settings: NoiseGate) -> Iterator[str]:
    if not candidate.gain > settings.least_gain:
        yield f"no gain: {candidate.gain:+.5f} on held-out mixtures is not above {settings.least_gain:g}"
