"""What is ordinary at an account's age: location and scale of every signal, from the model on and followed slowly.

Accounts count, not events (an account's n-th event weighs 20 / (20 + n)), what is noise counts less (1 - P), and no
event moves either further than three scales away would: so a polluted log moves them little.
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
WINSOR = np.float32(3.0)
NORMAL = np.float32(1.2533141)  # standard deviation of a normal over its mean absolute deviation
SCALE_FLOOR = np.float32(0.05)  # smaller differences are none
HALF_MASS_EVENTS = 20.0
MEMORY = 20_000.0  # mass of ordinary events over which both are averaged
FIRST_MASS = 8.0  # below, gains are those of this mass: a first event is not what is ordinary

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
    mass = HALF_MASS_EVENTS / (HALF_MASS_EVENTS + events) * (1.0 - p_noise)
    support = population.z_support[age] + mass
    population.z_support[age] = min(support, MEMORY)
    gain = np.float32(mass / min(max(support, FIRST_MASS), MEMORY))
    location, scale = population.z_location[age], population.z_scale[age]
    for at in range(N_SIGNALS):
        z = min(max(evidence[at], -WINSOR), WINSOR)
        location[at] += gain * scale[at] * z
        scale[at] = max(scale[at] * (np.float32(1.0) + gain * (NORMAL * abs(z) - np.float32(1.0))), SCALE_FLOOR)
