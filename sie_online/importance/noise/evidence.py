"""The evidence: one vector of prequential surprises per event, whose kinds are named and whose causes are not.

Each module of it owns its part of the vector and of the records: ``habits``, ``funnel``, ``company``, ``pace``,
``reach`` and ``audience``; ``walk`` says where the event stands and counts it. All of it is O(1) an event and an
entity. What the signals mean for noise is the model's business, not theirs.
"""

from __future__ import annotations

import hashlib
import json
from types import ModuleType
from typing import Any

from sie_online.importance.noise import audience, company, funnel, habits, pace, reach, walk
from sie_online.importance.noise.audience import signal_audience
from sie_online.importance.noise.company import signal_company
from sie_online.importance.noise.funnel import signal_funnel
from sie_online.importance.noise.habits import signal_habits
from sie_online.importance.noise.pace import signal_pace
from sie_online.importance.noise.population import NoiseConfig
from sie_online.importance.noise.reach import signal_reach
from sie_online.importance.noise.walk import Step, meet, step_of, take_step
from sie_online.jit import kernel

PARTS: tuple[ModuleType, ...] = (habits, funnel, company, pace, reach, audience)
SIGNALS: tuple[str, ...] = tuple(name for part in PARTS for name in part.NAMES)
"""Names of the evidence, in its order: ``<part>.<what>``."""
N_SIGNALS = len(SIGNALS)

FUNNEL_AT = habits.N_SIGNALS
COMPANY_AT = FUNNEL_AT + funnel.N_SIGNALS
PACE_AT = COMPANY_AT + company.N_SIGNALS
REACH_AT = PACE_AT + pace.N_SIGNALS
AUDIENCE_AT = REACH_AT + reach.N_SIGNALS

MEANING = 1
"""To be raised when a signal's meaning changes and its name does not."""


def evidence_hash() -> str:
    """Digest of the evidence's names and meaning: a model that was fitted on other evidence is refused."""
    return hashlib.sha256(json.dumps([MEANING, SIGNALS]).encode()).hexdigest()


def fields_of(record: str) -> list[tuple[Any, ...]]:
    """State that the evidence adds to the records of ``record`` (``user``, ``item``, ...)."""
    return [field for part in (walk, *PARTS) for field in getattr(part, f"{record.upper()}_FIELDS", [])]


@kernel
def gather(
    cfg: NoiseConfig, user: Any, item: Any, pair: Any, interest: Any, population: Any, event: Any, out: Any
) -> Step:
    """Write an event's evidence to ``out`` (N_SIGNALS,) float32, and count the event; once per event.

    Call before ``last_ms`` of the records moves. Every signal is finite.
    """
    meet(item, population, event)
    step = step_of(cfg, user, item, pair, interest, event)
    signal_habits(user, pair, population, step, out[:FUNNEL_AT])
    signal_funnel(user, item, pair, population, event, step, out[FUNNEL_AT:COMPANY_AT])
    signal_company(user, item, pair, step, out[COMPANY_AT:PACE_AT])
    signal_pace(user, pair, population, event, step, out[PACE_AT:REACH_AT])
    signal_reach(user, step, out[REACH_AT:AUDIENCE_AT])
    signal_audience(user, item, population, event, step, out[AUDIENCE_AT:])
    take_step(user, item, pair, interest, event, step)
    return step
