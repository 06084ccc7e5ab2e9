"""The evidence of a log, event by event, as a shard gathers it while it serves: what a noise model is fitted on.

Runs the shard's own kernels over decoded events (clock, entities, evidence, standardisation, judgement) and leaves out
what the evidence does not depend on: predictions, labels and weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import HEARTBEAT_CODE
from sie_online.importance.noise import assess, start_from
from sie_online.importance.noise.evidence import N_SIGNALS
from sie_online.importance.noise.judge import ITEM_FIELDS, USER_FIELDS, newness, note_opinion
from sie_online.importance.noise.model import MIXED, NoiseArrays
from sie_online.importance.noise.standard import MEMORY
from sie_online.importance.noise.walk import head_of
from sie_online.jit import kernel
from sie_online.settings import Settings
from sie_online.shard.estimate import find
from sie_online.shard.loop import hear_event, touch
from sie_online.shard.state import State, config_of, new_state, new_views

FIRST_SUPPORT = 60.0
"""Mass of ordinary events that what a model took for ordinary has at most where a log is to say what is."""
WELL_SUPPORTED = 50.0
"""Mass from which on what a log says is ordinary in a stratum is followed slowly only."""


class Trace(NamedTuple):
    """One row per event of the log (heartbeats and erasures are none), in order."""

    evidence: NDArray[np.float32]  # (n, N_SIGNALS), standardised and clipped
    head: NDArray[np.int8]  # (n,), `contracts.NOISE_HEADS`
    events: NDArray[np.float32]  # (n,): the account's so far, this one included
    user: NDArray[np.int64]  # (n,): dense codes
    item: NDArray[np.int64]
    logit: NDArray[np.float32]  # (n,): first stage of the model that the log was traced with
    probability: NDArray[np.float64]  # (n,): its P(noise) at the event
    cautious: NDArray[np.float64]  # (n,): its lower end
    row: NDArray[np.int64]  # (n,): of the log


class Reference(NamedTuple):
    """What is ordinary in a log: fields of `NoiseArrays` by name."""

    location: NDArray[np.float32]  # (STRATA, N_SIGNALS)
    scale: NDArray[np.float32]
    support: NDArray[np.float32]  # (STRATA,)


def trace(settings: Settings, columns: NDArray[np.void], model: NoiseArrays) -> Trace:
    """The evidence of ``columns`` (dtype `EVENT`, in the log's order) under ``model``'s standardisation."""
    columns, row = _events_of(columns)
    n = len(columns)
    evidence = np.zeros((n, N_SIGNALS), np.float32)
    logit, probability, cautious = np.zeros(n, np.float32), np.zeros(n), np.zeros(n)
    _run(settings, columns, model, evidence, logit, probability, cautious)
    user = np.unique(columns["user_key"], return_inverse=True)[1].astype(np.int64)
    item = np.unique(columns["item_key"], return_inverse=True)[1].astype(np.int64)
    events, head = np.zeros(n, np.float32), np.zeros(n, np.int8)
    number_events(config_of(settings).factors.noise, columns["etype"], user, np.zeros(n, np.int64), events, head)
    return Trace(evidence, head, events, user, item, logit, probability, cautious, row)


def reference(settings: Settings, columns: NDArray[np.void], model: NoiseArrays) -> Reference:
    """What is ordinary in ``columns``, as a shard has learned it at the log's end."""
    columns, _ = _events_of(columns)
    doubted = model._replace(support=np.minimum(model.support, np.float32(FIRST_SUPPORT)))
    logit, nothing, evidence = (
        np.zeros(len(columns), np.float32),
        np.zeros(len(columns)),
        np.zeros((0, N_SIGNALS), "f4"),
    )
    population = _run(settings, columns, doubted, evidence, logit, nothing, nothing).population[0]
    return Reference(
        population["z_location"].copy(),
        population["z_scale"].copy(),
        np.where(population["z_support"] >= WELL_SUPPORTED, MEMORY, population["z_support"]).astype(np.float32),
    )


def mixed(log: Trace, logit: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the second stage adds up, (n, len(MIXED)): ``logit`` (n,) and its means over the event's user and item."""
    users = np.zeros(int(log.user.max(initial=-1)) + 1, np.dtype([("z_n", "f4"), *USER_FIELDS], align=True))
    items = np.zeros(int(log.item.max(initial=-1)) + 1, np.dtype([("z_n", "f4"), *ITEM_FIELDS], align=True))
    out = np.zeros((len(logit), len(MIXED)), np.float32)
    mix_opinions(log.user, log.item, logit, users, items, out)
    return out


def _events_of(columns: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    row = np.flatnonzero(columns["etype"] < HEARTBEAT_CODE)
    return columns[row].copy(), row  # a copy: the clock writes to it


def _run(settings: Settings, columns: NDArray[np.void], model: NoiseArrays, *out: NDArray[Any]) -> State:
    """The state after the log."""
    state = new_state(settings, new_views(settings).views)._replace(noise=model)
    start_from(state.population[0], model)
    trace_events(config_of(settings), state, columns, *out)
    return state


@kernel
def trace_events(cfg: Any, state: Any, events: Any, evidence: Any, logit: Any, probability: Any, cautious: Any) -> None:
    """Assess ``events`` one after another; ``evidence`` may have no rows, and is then not kept."""
    counters, population, kept = state.counters[0], state.population[0], state.scratch.kept[0]
    for at in range(events.shape[0]):
        event = events[at]
        counters.events += 1
        hear_event(cfg.belief, state.clock[0], population, event, counters.events)
        slots = find(state, event, counters.events)
        verdict = assess(
            cfg.factors.noise,
            state.noise,
            state.users.rows[slots.user],
            state.items.rows[slots.item],
            state.categories.rows[slots.category],
            state.pairs.rows[slots.pair],
            state.interests.rows[slots.interest],
            population,
            event,
            kept,
        )
        logit[at], probability[at], cautious[at] = kept.logit, verdict.probability, verdict.cautious
        if evidence.shape[0] > 0:
            for signal in range(N_SIGNALS):
                evidence[at, signal] = population.z_evidence[signal]
        touch(state, slots, event)


@kernel
def number_events(cfg: Any, etype: Any, user: Any, count: Any, events: Any, head: Any) -> None:
    """Number every account's events from 1 on, and name their heads."""
    for at in range(user.shape[0]):
        count[user[at]] += 1
        events[at] = count[user[at]]
        head[at] = head_of(cfg, etype[at])


@kernel
def mix_opinions(user: Any, item: Any, logit: Any, users: Any, items: Any, out: Any) -> None:
    """Write `MIXED` of every event, as `assess` mixes them in."""
    for at in range(user.shape[0]):
        u, v = users[user[at]], items[item[at]]
        u.z_n += 1.0
        v.z_n += 1.0
        note_opinion(u, v, float(logit[at]))
        out[at, 0], out[at, 1] = 1.0, logit[at]
        out[at, 2], out[at, 3], out[at, 4] = u.z_logit, u.z_recent_logit, v.z_logit
        out[at, 5] = newness(u)
