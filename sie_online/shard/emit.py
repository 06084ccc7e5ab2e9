"""Writing statements: one row each, with the ids copied beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.importance.weight import BALANCE, DELAY, INFLUENCE, NOISE, SCORE
from sie_online.jit import kernel
from sie_online.shard.views import load_text


@kernel
def write_statement(
    out: Any,
    factors: Any,
    view: int,
    offset: int,
    etype: int,
    event_time_ms: int,
    published_ms: int,
    revision: int,
    label: int,
    final: bool,
    probability: float,
    feature_score: float,
    uncertainty: float,
    noise_probability: float,
    weight: float,
) -> None:
    """Append a row; its ids must have been written by `ids_of_event` or `ids_of_view`."""
    control = out.control[0]
    row = out.rows[control.rows]
    row.view = view
    row.offset = offset
    row.etype = etype
    row.event_time_ms = event_time_ms
    row.published_ms = published_ms
    row.revision = revision
    row.label = label
    row.final = 1 if final else 0
    row.probability = probability
    row.error = label - probability if label >= 0 else np.nan
    row.feature_score = feature_score
    row.uncertainty = uncertainty
    row.noise_probability = noise_probability
    row.weight = weight
    for which in range(factors.shape[0]):
        row.factors[which] = factors[which]
    control.rows += 1


@kernel
def set_factors(factors: Any, noise: float, delay: float, balance: float, score: float, influence: float) -> None:
    """The raw factors of one statement."""
    factors[NOISE] = noise
    factors[DELAY] = delay
    factors[BALANCE] = balance
    factors[SCORE] = score
    factors[INFLUENCE] = influence


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
    for which in range(out.features.shape[1]):
        out.features[control.settled, which] = cold.features[which]
    for which in range(out.dense.shape[1]):
        out.dense[control.settled, which] = cold.dense[which]
    control.settled += 1
