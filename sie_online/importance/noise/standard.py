"""What is ordinary at an account's age: location and scale of every signal, from the model on and followed slowly.

Accounts count, not events (an account's n-th event weighs 20 / (20 + n)); what is noise counts less (1 - P); and what
lies far away counts no more than what lies at 1.5 scales (Huber 1964). So a few accounts that make a third of all
events hardly move what is ordinary: with plain means they did, and hid behind it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sie_online.importance.noise.evidence import N_SIGNALS
from sie_online.importance.noise.model import AGES, NoiseArrays
from sie_online.jit import kernel

CLIP = np.float32(6.0)
"""Scales beyond which a standardised signal says no more."""
WINSOR = np.float32(1.5)
NORMAL = np.float32(1.3527)  # 1 over the mean of min(|x|, 1.5) of a standard normal
SCALE_FLOOR = np.float32(0.05)  # smaller differences are none
MEMORY = 2_000.0  # mass of ordinary events over which both are averaged
FIRST_SUPPORT = 8.0  # with less, gains are those of so much: a first event is not what is ordinary

POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_location", "f4", (AGES, N_SIGNALS)),
    ("z_scale", "f4", (AGES, N_SIGNALS)),
    ("z_support", "f4", (AGES,)),  # mass of ordinary events behind them
]


def start_from(population: Any, model: NoiseArrays) -> None:
    """Start from what ``model`` took for ordinary. ``population`` is the record."""
    population["z_location"], population["z_scale"] = model.location, model.scale
    population["z_support"] = model.support


@kernel
def age_of(events: float) -> int:
    """Place of an account with so many events, the current one included, in tables by age."""
    return int(min(math.log2(events), AGES - 1.0))


@kernel
def standardise_evidence(population: Any, age: int, evidence: Any) -> None:
    """Standardise ``evidence`` (N_SIGNALS,) in place and clip it."""
    location, scale = population.z_location[age], population.z_scale[age]
    for at in range(N_SIGNALS):
        z = (evidence[at] - location[at]) / scale[at]
        evidence[at] = min(max(z, -CLIP), CLIP)


@kernel
def follow(population: Any, age: int, events: float, p_noise: float, evidence: Any) -> None:
    """Move location and scale by one event's standardised ``evidence``."""
    mass = (1.0 if age < AGES - 1 else 2.0 ** (AGES - 1) / events) / events * (1.0 - p_noise)
    support = population.z_support[age] + mass
    population.z_support[age] = min(support, MEMORY)
    gain = np.float32(mass / min(max(support, FIRST_SUPPORT), MEMORY))
    location, scale = population.z_location[age], population.z_scale[age]
    for at in range(N_SIGNALS):
        z = min(max(evidence[at], -WINSOR), WINSOR)
        location[at] += gain * scale[at] * z
        scale[at] = max(scale[at] * (np.float32(1.0) + gain * (NORMAL * abs(z) - np.float32(1.0))), SCALE_FLOOR)
