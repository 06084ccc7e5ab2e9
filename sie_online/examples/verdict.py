"""Use the weights, or soft targets, or not: one sentence of a comparison.

Judged by AUC and log loss at 95 % each: on streams with nothing to find, "helps" comes up about once in twenty times at
most, and so does "harms".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sie_online.examples.scoring import Difference

JUDGED = {"AUC": 1, "NLL": -1}
"""What is judged, and whether more of it is better."""

Word = Literal["helps", "harms", "no evidence", "not judged"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``word`` for scripts, ``sentence`` for people."""

    word: Word
    sentence: str


NOT_JUDGED = Verdict("not judged", "Not judged: without intervals (--resamples 0) a difference says nothing.")


def judge(over_uniform: Mapping[str, Difference], over_shuffled: Mapping[str, Difference], *, noisy: bool) -> Verdict:
    """What the weights did, by metric: against uniform weights, and against the same ones shuffled.

    Weights without information change a model, too; so what counts has to show against both. ``noisy``: what was scored
    holds the stream's own noise.
    """
    if any(over_uniform[name].low is None for name in JUDGED):
        return NOT_JUDGED
    shown = [name for name in JUDGED if over_uniform[name].side()]
    known = [name for name in shown if over_uniform[name].side() == over_shuffled[name].side()]
    better = [name for name in known if over_uniform[name].side() == JUDGED[name]]
    worse = [name for name in known if name not in better]
    if worse:
        return Verdict("harms", _harm(over_uniform, better, worse, noisy=noisy))
    if better:
        return Verdict("helps", f"They help here ({_told(over_uniform, better)}): use them.")
    if shown:
        told = f"{_told(over_uniform, shown)}, but {_told(over_shuffled, shown)} against the same weights shuffled"
        return Verdict("no evidence", f"No measurable difference that the weights explain ({told}): leave them out.")
    return Verdict("no evidence", f"No measurable difference ({_told(over_uniform, JUDGED)}): leave them out.")


def judge_soft_targets(label_share: float, difference: Mapping[str, Difference]) -> Verdict:
    """What a target with that share of the label did, by metric, against the labels as they are."""
    if label_share == 1.0:
        said = "Keep the labels as they are: no softer target was better on the part on which it was to be chosen."
        return Verdict("no evidence", said)
    if any(difference[name].low is None for name in JUDGED):
        return NOT_JUDGED
    told, sides = _told(difference, JUDGED), [JUDGED[name] * difference[name].side() for name in JUDGED]
    if -1 in sides:
        return Verdict("harms", f"Soft targets harm here ({told}): keep the labels as they are.")
    if 1 in sides:
        return Verdict("helps", f"Soft targets help here (a = {label_share:g}; {told}).")
    return Verdict("no evidence", f"No measurable difference ({told}): keep the labels as they are.")


def _harm(over_uniform: Mapping[str, Difference], better: list[str], worse: list[str], *, noisy: bool) -> str:
    although = f", although {_told(over_uniform, better)}" if better else ""
    look = " The held-out labels are as noisy as the stream: see --truth and --noise-below before you decide."
    return f"They harm here ({_told(over_uniform, worse)}{although}): leave them out.{look if noisy else ''}"


def _told(differences: Mapping[str, Difference], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {differences[name]}" for name in names)
