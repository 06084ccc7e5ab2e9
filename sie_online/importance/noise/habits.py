"""Evidence of habits: how surprising is a step to the shop, to the account itself, and less or more so than before?

Five predictive tables over everybody (gap to the last event, kind of step, popularity of the item, hour, event type),
each by its context, and own histograms of four of them. A surprise is a code length in nats, less the mean one in its
context; an account whose own histogram says much better what it does next than the shop's does has habits of its own.
"""

from __future__ import annotations

from typing import Any

from sie_online.contracts import EVENT_TYPES
from sie_online.elementary import exp, log
from sie_online.importance.noise.walk import FIRST_GAP_BIN, GAP_BINS, KINDS, PAUSES, POPULARITY_BINS, SEEN_CAP, Step
from sie_online.jit import kernel

GAP, KIND, POPULARITY, HOUR, TYPE = range(5)
TABLES, OWN_TABLES = 5, 4
NAMES = (
    *(f"habits.mean_{what}" for what in ("gap", "kind", "popularity", "hour", "type")),
    *(f"habits.own_{what}" for what in ("gap", "kind", "popularity", "hour")),
    *(f"habits.now_{what}" for what in ("gap", "kind", "popularity", "hour", "type")),
    *(f"habits.drift_{what}" for what in ("gap", "kind", "popularity", "hour")),
)
MEAN, OWN, NOW, DRIFT = 0, TABLES, TABLES + OWN_TABLES, 2 * TABLES + OWN_TABLES
N_SIGNALS = len(NAMES)

GAP_ROWS, KIND_ROWS, POPULARITY_ROWS = GAP_BINS, KINDS * 4, KINDS
KIND_ROW = GAP_ROWS
POPULARITY_ROW = KIND_ROW + KIND_ROWS
HOUR_ROW = POPULARITY_ROW + POPULARITY_ROWS
TYPE_ROW = HOUR_ROW + 1
ROWS = TYPE_ROW + (SEEN_CAP + 1) * 2 * PAUSES
WIDTH = 24
SIZES = (GAP_BINS, KINDS, POPULARITY_BINS, WIDTH, len(EVENT_TYPES))
PRIORS = (0.05, 0.3, 0.3, 0.5, 0.05)
"""Events presumed in every cell of a table."""

OWN_HOURS = 8  # of three hours
OWN_AT = (0, GAP_BINS, GAP_BINS + KINDS, GAP_BINS + KINDS + POPULARITY_BINS)
OWN_WIDTH = GAP_BINS + KINDS + POPULARITY_BINS + OWN_HOURS
OWN_PRIOR = 4.0  # events of the shop's in an account's own histogram
RECENT = 0.2  # gain of recent means
SETTLED_EVENTS = 8  # before, an account has no habits to leave
FRESH_ROWS, REFRESH = 32, 16  # a table's code lengths are computed anew at each of its first events, then every 16th
MEMORY = 65_536.0  # a row is halved at twice this many events

USER_FIELDS: list[tuple[Any, ...]] = [
    ("z_own", "f4", (OWN_WIDTH,)),  # own histograms
    ("z_surprise", "f4", (TABLES,)),  # sums of the surprises
    ("z_gain", "f4", (OWN_TABLES,)),  # sums of the code length that the own histogram saves
    ("z_code", "f4", (OWN_TABLES,)),  # sums of own code lengths ...
    ("z_recent_code", "f4", (OWN_TABLES,)),  # ... and recent means
]
POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_counts", "f8", (ROWS, WIDTH)),
    ("z_lengths", "f8", (ROWS, WIDTH)),  # minus log shares, as of the last refresh
    ("z_row_sum", "f8", (ROWS,)),
    ("z_entropy", "f8", (ROWS,)),
    ("z_row_seen", "i8", (ROWS,)),
]


@kernel
def signal_habits(user: Any, pair: Any, population: Any, step: Step, out: Any) -> None:
    """Count the step in all tables and write its evidence to ``out`` (N_SIGNALS,)."""
    for table in range(TABLES):
        row, value = _cell(user, pair, step, table)
        if population.z_row_seen[row] == 0:
            _refresh(population, table, row)
        length = population.z_lengths[row, value]
        surprise = length - population.z_entropy[row]
        out[NOW + table] = surprise
        user.z_surprise[table] += surprise
        out[MEAN + table] = user.z_surprise[table] / (step.n + 1.0)
        if table < OWN_TABLES:
            _signal_own(user, population, step, table, row, value, out)
        _count(population, step, table, row, value)


@kernel
def _cell(user: Any, pair: Any, step: Step, table: int) -> tuple[int, int]:
    """Row of the context and place of the value, in one of the tables."""
    is_first = step.n == 0.0
    if table == GAP:
        return FIRST_GAP_BIN if is_first else int(user.z_gap_bin), step.gap_bin
    if table == KIND:
        return KIND_ROW + (0 if is_first else int(user.z_kind)) * 4 + min(step.pause, 3), step.kind
    if table == POPULARITY:
        return POPULARITY_ROW + step.kind, step.popularity
    if table == HOUR:
        return HOUR_ROW, step.hour
    return TYPE_ROW + context_of(pair, step), step.etype


@kernel
def context_of(pair: Any, step: Step) -> int:
    """What an account's next act depends on: how often it saw the item, whether it acted on it, and the pause."""
    seen = int(min(step.visits, float(SEEN_CAP)))
    return (seen * 2 + (1 if pair.z_acts > 0.0 else 0)) * PAUSES + step.pause


@kernel
def _signal_own(user: Any, population: Any, step: Step, table: int, row: int, value: int, out: Any) -> None:
    length = population.z_lengths[row, value]
    place = value
    if table == HOUR:
        place = value // 3
        first = place * 3
        lengths = population.z_lengths
        length = -log(exp(-lengths[row, first]) + exp(-lengths[row, first + 1]) + exp(-lengths[row, first + 2]))
    at = OWN_AT[table] + place
    own = -log((user.z_own[at] + OWN_PRIOR * exp(-length)) / (step.n + OWN_PRIOR))
    user.z_own[at] += 1.0
    user.z_gain[table] += length - own
    out[OWN + table] = user.z_gain[table] / (step.n + 1.0)
    recent = own if step.n == 0.0 else user.z_recent_code[table] + RECENT * (own - user.z_recent_code[table])
    out[DRIFT + table] = recent - user.z_code[table] / step.n if step.n >= SETTLED_EVENTS else 0.0
    user.z_recent_code[table] = recent
    user.z_code[table] += own


@kernel
def _count(population: Any, step: Step, table: int, row: int, value: int) -> None:
    population.z_counts[row, value] += step.mass
    population.z_row_sum[row] += step.mass
    population.z_row_seen[row] += 1
    if population.z_row_seen[row] < FRESH_ROWS or population.z_row_seen[row] % REFRESH == 0:
        _refresh(population, table, row)


@kernel
def _refresh(population: Any, table: int, row: int) -> None:
    """Compute a row's code lengths and its entropy anew."""
    size, prior = SIZES[table], PRIORS[table]
    counts = population.z_counts[row]
    if population.z_row_sum[row] > 2.0 * MEMORY:
        population.z_row_sum[row] *= 0.5
        for value in range(size):
            counts[value] *= 0.5
    total = population.z_row_sum[row] + size * prior
    entropy = 0.0
    for value in range(size):
        share = (counts[value] + prior) / total
        length = -log(share)
        population.z_lengths[row, value] = length
        entropy += share * length
    population.z_entropy[row] = entropy
