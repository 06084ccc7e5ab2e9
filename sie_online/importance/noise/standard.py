"""What is ordinary: location and scale of every signal, from the model on and followed slowly.

They are told apart for samples by the age of their account, for acts, and for conversions. Accounts count, and each
about once in every stratum, however many events it has; what is noise counts less (1 - P); and what lies far away
counts no more than what lies at 1.5 scales (Huber 1964). So a few accounts that make a third of all events hardly move
what is ordinary: with plain means over events they did, and hid behind it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.elementary import doublings
from sie_online.importance.noise.evidence import N_SIGNALS, SIGNALS
from sie_online.importance.noise.model import AGES, STRATA, NoiseArrays
from sie_online.importance.noise.share import presume
from sie_online.importance.noise.walk import CONVERSION, SAMPLE
from sie_online.jit import kernel

CLIP = np.float32(6.0)
"""Scales beyond which a standardised signal says no more."""
WINSOR = np.float32(1.5)
NORMAL = np.float32(1.3527)  # 1 over the mean of min(|x|, 1.5) of a standard normal
SCALE_FLOOR = np.float32(0.05)  # smaller differences are none
MEMORY = 2_000.0  # mass of ordinary events over which both are averaged
FIRST_SUPPORT = 8.0  # with less, gains are those of so much: a first event is not what is ordinary

DEEDS = tuple(
    SIGNALS.index(name)
    for name in (
        "habits.mean_type",
        "habits.now_type",
        "funnel.engagement",
        "funnel.act_share",
        "funnel.order_share",
        "funnel.act_drift",
    )
)
"""Signals of an account's own acts."""

POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_location", "f4", (STRATA, N_SIGNALS)),
    ("z_scale", "f4", (STRATA, N_SIGNALS)),
    ("z_support", "f4", (STRATA,)),  # mass of ordinary events behind them
]


def start_from(population: Any, model: NoiseArrays) -> None:
    """Start from what ``model`` took for ordinary, and for common. ``population`` is the record."""
    presume(population, model)
    population["z_location"], population["z_scale"] = model.location, model.scale
    population["z_support"] = model.support


@kernel
def stratum_of(head: int, events: float) -> int:
    """Stratum of an event of ``head`` by an account with so many events, this one included."""
    return min(doublings(events), AGES - 1) if head == SAMPLE else AGES - 1 + head


@kernel
def standardise_evidence(population: Any, stratum: int, evidence: Any) -> None:
    """Standardise ``evidence`` (N_SIGNALS,) in place and clip it."""
    location, scale = population.z_location[stratum], population.z_scale[stratum]
    for at in range(N_SIGNALS):
        z = (evidence[at] - location[at]) / scale[at]
        evidence[at] = min(max(z, -CLIP), CLIP)


@kernel
def hide_deeds(head: int, evidence: Any) -> None:
    """Leave an account's own acts out of what is said of its samples.

    Whoever acts much has more positive samples than others. A weight that goes by that takes positives off the loss,
    which no learner can make up for (clean taobao_815: AUC -.004).
    """
    if head == SAMPLE:
        for at in DEEDS:
            evidence[at] = np.float32(0.0)


@kernel
def mass_of(user: Any, head: int) -> float:
    """What an event, already counted, weighs in its stratum: the account's k-th event of an open one weighs 1/k."""
    if head == SAMPLE:
        events = float(user.z_n)
        return min(1.0, 2.0 ** (AGES - 1) / events) / events
    return 1.0 / max(1.0, float(user.z_orders if head == CONVERSION else user.z_acts - user.z_orders))


@kernel
def follow(population: Any, stratum: int, mass: float, evidence: Any) -> None:
    """Move location and scale by one event's standardised ``evidence``."""
    support = population.z_support[stratum] + mass
    population.z_support[stratum] = min(support, MEMORY)
    gain = np.float32(mass / min(max(support, FIRST_SUPPORT), MEMORY))
    location, scale = population.z_location[stratum], population.z_scale[stratum]
    for at in range(N_SIGNALS):
        z = min(max(evidence[at], -WINSOR), WINSOR)
        location[at] += gain * scale[at] * z
        scale[at] = max(scale[at] * (np.float32(1.0) + gain * (NORMAL * abs(z) - np.float32(1.0))), SCALE_FLOOR)
