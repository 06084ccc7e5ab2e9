"""A comparison and a trial with pollution, as tables for people and as documents."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from sie_online.evaluation.compare.scores import METRICS, Gain
from streams.cli.text import figure

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sie_online.evaluation.compare.figures import ArmScores, LearnerScores, Population
    from sie_online.evaluation.compare.trial import Comparison
    from sie_online.evaluation.pollution.figures import FamilyFound, Pollution

TITLES = {"auc": "AUC", "prauc": "PR-AUC", "nll": "log loss"}


def comparison_tables(found: Comparison) -> Iterator[RenderableType]:
    """A table for each population."""
    yield Text(
        f"Trained on {found.learned:,} settled samples; scored on later ones, unweighted.\n"
        "Gain over uniform weights ± half a 95 % interval (users resampled, in pairs).\n"
        "Above 0 is better, for log loss too."
    )
    for population in found.populations:
        yield Text(
            f"On {population.name}: {population.samples:,} samples, {population.positives:,} positive, "
            f"{population.users:,} users"
        )
        table = _table("", *TITLES.values())
        for learner in population.learners:
            table.add_row(Text(learner.name, style="bold"))
            for arm in learner.arms:
                table.add_row(f"  {arm.name}", *(_cell(arm, metric) for metric in METRICS))
        yield table


def comparison_document(found: Comparison) -> dict[str, Any]:
    """For scripts: gains with their 95 % intervals."""
    return {
        "learned": found.learned,
        "populations": [_population(population) for population in found.populations],
        "verdict": found.verdict.word,
        "sentence": found.verdict.sentence,
        "judged": found.verdict.population,
    }


def pollution_tables(found: Pollution) -> Iterator[RenderableType]:
    """Families, then innocents."""
    yield Text(
        f"Random behaviours mixed into {found.events:,} events, seeds {', '.join(map(str, found.seeds))}.\n"
        "AUC: P(noise) of polluting events against all others. R: share of a perfect\n"
        "detector's gain that the weights reach, for a context logistic regression on\n"
        "clean held-out samples; · where a perfect detector has no certain gain."
    )
    families = _table("polluting", "events", "AUC", *(f"R of {TITLES[metric]}" for metric in METRICS))
    for family in [*found.families(), found.together()]:
        recovered = [_signed(family.recovered[metric]) for metric in METRICS]
        families.add_row(family.family.replace("_", " "), f"{family.events:,}", figure(family.auc), *recovered)
    yield families
    innocents = _table("innocent", "events", "mean weight / the others'")
    for innocent in found.innocents():
        innocents.add_row(innocent.family.replace("_", " "), f"{innocent.events:,}", figure(innocent.weight))
    yield innocents
    if found.left_out:
        yield Text(f"The log has not what these need: {', '.join(found.left_out)}")


def pollution_document(found: Pollution) -> dict[str, Any]:
    """For scripts: by family, all together, and every mixture."""
    return {
        "events": found.events,
        "seeds": list(found.seeds),
        "families": [_family(family) for family in found.families()],
        "together": _family(found.together()),
        "innocents": [innocent._asdict() for innocent in found.innocents()],
        "mixtures": [
            {
                "family": mixture.family,
                "seed": mixture.seed,
                "events": mixture.events,
                "share": mixture.share,
                "auc": mixture.auc,
                "untouched_noise": mixture.untouched_noise,
                "published": _gains(mixture.published),
                "perfect": _gains(mixture.perfect),
                "innocents": [innocent._asdict() for innocent in mixture.innocents],
            }
            for mixture in found.mixtures
        ],
        "left_out": list(found.left_out),
    }


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _cell(arm: ArmScores, metric: str) -> str:
    if arm.gains is None:
        return f"{arm.values[metric]:.4f}"
    gain = arm.gains[metric]
    return f"{gain.value:+.4f} ±{gain.interval()[1] - gain.value:.4f}"


def _signed(value: float | None) -> str:
    return "·" if value is None else f"{value:+.2f}"


def _population(population: Population) -> dict[str, Any]:
    return {
        "name": population.name,
        "samples": population.samples,
        "positives": population.positives,
        "users": population.users,
        "learners": [_learner(learner) for learner in population.learners],
    }


def _learner(learner: LearnerScores) -> dict[str, Any]:
    arms = [
        {"name": arm.name, **arm.values, "gains": None if arm.gains is None else _gains(arm.gains)}
        for arm in learner.arms
    ]
    return {
        "name": learner.name,
        "arms": arms,
        "published": _gains(learner.published),
        "beyond_permuted": _gains(learner.known),
    }


def _family(family: FamilyFound) -> dict[str, Any]:
    return {
        "family": family.family,
        "mixtures": family.mixtures,
        "events": family.events,
        "auc": family.auc,
        "recovered": dict(family.recovered),
        "perfect": _gains(family.perfect),
    }


def _gains(gains: Mapping[str, Gain]) -> dict[str, Any]:
    return {metric: _gain(gain) for metric, gain in gains.items()}


def _gain(gain: Gain) -> dict[str, float] | None:
    if not math.isfinite(gain.value):
        return None
    low, high = gain.interval()
    return {"value": gain.value, "low": low, "high": high}
