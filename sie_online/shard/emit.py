"""Writing statements: one row each, with the ids copied beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online.importance.factor import UNKNOWN, Learned, Moment
from sie_online.importance.weight import weigh
from sie_online.jit import kernel
from sie_online.recommender.kernels import UNIFORM, WEIGHTED
from sie_online.shard.views import load_text


class StatementHead(NamedTuple):
    """Which statement it is, beside what it is about (`importance.factor.Moment`)."""

    open_view: int  # sequence number of the open view, -1 for a record that is no sample
    offset: int
    etype: int
    event_time_ms: int
    published_ms: int
    revision: int
    final: bool
    uncertainty: float


@kernel
def write_statement(cfg: Any, state: Any, out: Any, statement: StatementHead, moment: Moment) -> float:
    """Weigh an event as it is known at ``moment`` and append the row that says so; the weight.

    Its ids must have been written by `ids_of_event` or `ids_of_view`. Its factors are left in the scratch.
    """
    factors, control = state.scratch.factors, out.control[0]
    row = out.rows[control.rows]
    row.view, row.offset, row.etype = statement.open_view, statement.offset, statement.etype
    row.event_time_ms, row.published_ms = statement.event_time_ms, statement.published_ms
    row.revision, row.final = statement.revision, 1 if statement.final else 0
    row.label = moment.label if statement.open_view >= 0 else UNKNOWN
    row.error = moment.error if statement.open_view >= 0 else np.nan
    row.probability, row.uncertainty = moment.probability, statement.uncertainty
    row.feature_score, row.noise_probability = moment.feature_score, moment.noise_probability
    row.weight = weigh(cfg.factors, cfg.weight, Learned(state.population[0], state.net), moment, factors)
    for which in range(factors.shape[0]):
        row.factors[which] = factors[which]
    control.rows += 1
    return float(row.weight)


@kernel
def ids_of_event(out: Any, texts: Any, event: int) -> None:
    """Copy the ids of batch row ``event`` to the row about to be written."""
    at = out.control[0].rows
    out.event_at[at + 1] = _copy(texts.event_at, texts.event_ids, event, out.event_ids, out.event_at[at])
    out.user_at[at + 1] = _copy(texts.user_at, texts.user_ids, event, out.user_ids, out.user_at[at])
    out.item_at[at + 1] = _copy(texts.item_at, texts.item_ids, event, out.item_ids, out.item_at[at])


@kernel
def _copy(offsets: Any, data: Any, row: int, target: Any, to: int) -> int:
    first, last = offsets[row], offsets[row + 1]
    for step in range(last - first):
        target[to + step] = data[first + step]
    return int(to + last - first)


@kernel
def ids_of_view(out: Any, views: Any, cold: Any) -> None:
    """Copy the ids of an open view to the row about to be written."""
    at = out.control[0].rows
    user_at = cold.ids_at + cold.event_bytes
    load_text(views.ids, cold.ids_at, cold.event_bytes, out.event_ids, out.event_at[at])
    load_text(views.ids, user_at, cold.user_bytes, out.user_ids, out.user_at[at])
    load_text(views.ids, user_at + cold.user_bytes, cold.item_bytes, out.item_ids, out.item_at[at])
    out.event_at[at + 1] = out.event_at[at] + cold.event_bytes
    out.user_at[at + 1] = out.user_at[at] + cold.user_bytes
    out.item_at[at + 1] = out.item_at[at] + cold.item_bytes


@kernel
def write_settled(out: Any, cold: Any) -> None:
    """Append the sample of the statement just written."""
    control = out.control[0]
    settled = out.settled[control.settled]
    settled.user_key = cold.user_key
    settled.item_key = cold.item_key
    settled.category_key = cold.category_key
    settled.row = control.rows - 1
    out.predicted[control.settled, UNIFORM], out.predicted[control.settled, WEIGHTED] = cold.p_uniform, cold.p_weighted
    for which in range(out.features.shape[1]):
        out.features[control.settled, which] = cold.features[which]
    for which in range(out.dense.shape[1]):
        out.dense[control.settled, which] = cold.dense[which]
    control.settled += 1
