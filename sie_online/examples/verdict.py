"""Use the weights or not: one sentence of a comparison.

Judged by AUC and log loss at 95 % each: on streams with nothing to find, "helps" comes up about once in twenty times at
most, and so does "harms".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

JUDGED = {"AUC": 1, "NLL": -1}
"""What is judged, and whether more of it is better."""

Word = Literal["helps", "harms", "no evidence", "not judged"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One model minus another; ``low`` and ``high`` bound the 95 % interval (None: not asked for)."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        band = "" if self.low is None else f" [{self.low:+.4f}, {self.high:+.4f}]"
        return f"{self.value:+.4f}{band}"

    def side(self) -> int:
        """1: above 0 by evidence, -1: below, 0: neither."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``word`` for scripts, ``sentence`` for people."""

    word: Word
    sentence: str


def judge(over_uniform: Mapping[str, Difference], over_shuffled: Mapping[str, Difference], *, noisy: bool) -> Verdict:
    """What the weights did, by metric: against uniform weights, and against the same ones shuffled.

    Weights without information change a model, too; so what counts has to show against both. ``noisy``: what was scored
    holds the stream's own noise.
    """
    if any(over_uniform[name].low is None for name in JUDGED):
        return Verdict("not judged", "Not judged: without intervals (--resamples 0) a difference says nothing.")
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


def _harm(over_uniform: Mapping[str, Difference], better: list[str], worse: list[str], *, noisy: bool) -> str:
    although = f", although {_told(over_uniform, better)}" if better else ""
    look = " The held-out labels are as noisy as the stream: see --truth and --noise-below before you decide."
    return f"They harm here ({_told(over_uniform, worse)}{although}): leave them out.{look if noisy else ''}"


def _told(differences: Mapping[str, Difference], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {differences[name]}" for name in names)
