"""One statement about one event, with its weight explained in words: a product of factors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from sie_online.client.rows import WeightRow
from sie_online.escape import safe

LOWERS = {
    "noise": "it looks like noise rather than interest",
    "delay": "it may still become a purchase: too early to count as a no",
    "balance": "its class or group has more than its share of events",
    "score": "its scores say that little can be learned from it",
    "normaliser": "weights are brought to a mean of 1, and others would weigh more",
    "guard": "the guard publishes less of the weighting",
    "clip": "weights are held below their largest",
    "influence": "the importance net expects little use of it",
}
RAISES = {
    "noise": "it looks like interest",
    "delay": "it became a purchase late, as others will that count as a no",
    "balance": "its class or group has less than its share of events",
    "score": "its scores say that much can be learned from it",
    "normaliser": "weights are brought to a mean of 1, and others weigh less",
    "guard": "the guard publishes less of the weighting",
    "clip": "weights are held above their smallest",
    "influence": "the importance net expects much use of it",
}
"""Why a factor of the weight is below 1, or above; one that is not known here is called by its name."""

LABELS = {None: "not known yet", 0: "did not convert", 1: "converted"}
NO_LABEL = "none: it is no sample"
LEAST_LOG = 0.005
"""A factor nearer to 1 than this moves nothing that a person would see."""
LONGEST_ID = 64


class Part(msgspec.Struct, frozen=True):
    """One factor of a weight: ``times`` = exp(``log``), and why it is not 1."""

    factor: str
    log: float
    times: float
    why: str


class Statement(msgspec.Struct, frozen=True):
    """A row of ``sie.weights.v1`` for people; ``parts``: the factors that are not 1, the one that lowers most first."""

    event_id: str
    event_type: str
    user_id: str
    item_id: str
    event_time_ms: int
    partition: int
    offset: int
    revision: int
    final: bool
    label: str
    probability: float
    noise_probability: float
    weight: float
    uncertainty: float
    sentence: str
    parts: list[Part]


def explained(row: WeightRow) -> Statement:
    """``row`` with the reasons of its weight."""
    parts = [part(name, log) for name, log in sorted(row.factors.items(), key=lambda each: each[1])]
    moved = [each for each in parts if abs(each.log) >= LEAST_LOG]
    return Statement(
        event_id=shown(row.event_id),
        event_type=row.event_type,
        user_id=shown(row.user_id),
        item_id=shown(row.item_id),
        event_time_ms=row.event_time_ms,
        partition=row.partition,
        offset=row.offset,
        revision=row.revision,
        final=row.final,
        label=NO_LABEL if row.final and row.label is None else LABELS[row.label],
        probability=row.probability,
        noise_probability=row.noise_probability,
        weight=row.weight,
        uncertainty=row.uncertainty,
        sentence=_sentence(row, moved),
        parts=moved,
    )


def part(name: str, log: float) -> Part:
    """Factor ``name`` of a weight, which adds ``log`` to its logarithm."""
    words = LOWERS if log < 0 else RAISES
    return Part(name, log, math.exp(log), words.get(name, f"factor {name}"))


def reason(logs: Mapping[str, float]) -> Part | None:
    """The factor that lowers most; None where none does."""
    name = min(logs, key=lambda each: logs[each], default=None)
    return part(name, logs[name]) if name is not None and logs[name] <= -LEAST_LOG else None


def shown(text: str) -> str:
    """An id as one harmless line that is not too long."""
    line = safe(text)
    return line if len(line) <= LONGEST_ID else f"{line[:LONGEST_ID]}…"


def _sentence(row: WeightRow, parts: list[Part]) -> str:
    counts = f"This {row.event_type} counts {row.weight:.2g} times as much as an average event"
    if not parts:
        return f"{counts}: nothing speaks for or against it."
    first, last = parts[0], parts[-1]
    if first.log < 0 and -first.log >= last.log:
        chance = f" (P {row.noise_probability:.2f})" if first.factor == "noise" else ""
        return f"{counts}: {first.why}{chance}."
    return f"{counts}: {last.why}."
