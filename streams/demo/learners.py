"""A subscriber's job in small: a recommender that learns from the stream, with and without the published weights.

One pass in time order. A view is learned at once as negative, with the weight first published for it; a purchase
teaches its pair's last view as positive, with the purchase's own weight. Nothing is known before it happened. What is
scored are clean views of the last part of the stream, predicted before they are learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import CART_CODE, PURCHASE_CODE, VIEW_CODE
from sie_online.evaluation.compare.scores import METRICS, scores
from sie_online.metrics import auc
from sie_online.recommender import CurvatureLogisticRegression
from sie_online.simulator import Simulation
from sie_online.simulator.columns import KINDS

BLOCK = 100  # events predicted before any of them is learned
HELD_OUT = 0.3  # last share of the stream that is scored
CALIBRATION = 0.3  # share before that, in which the threshold is chosen


@dataclass(frozen=True, slots=True)
class Score:
    """On clean held-out views. A view counts as predicted positive above the threshold that, before the held-out
    part, would have named as many positives as there were."""

    accuracy: float
    precision: float
    recall: float
    auc: float
    views: int
    positives: int
    auc_gain: float = 0.0
    """AUC less that of training without weights, on the same views ..."""
    auc_gain_half: float = 0.0
    """... and half the width of its 95 % interval, users drawn with replacement."""


@dataclass(frozen=True, slots=True)
class _Lessons:
    """Every view's features (n, columns), and what is learned when: ``row`` teaches ``label`` at ``event``."""

    rows: NDArray[np.uint32]
    view_event: NDArray[np.int64]
    row: NDArray[np.int64]
    label: NDArray[np.float64]
    event: NDArray[np.int64]


def compare(
    simulation: Simulation,
    weight: NDArray[np.float64],
    label: NDArray[np.float64],
    log_influence: NDArray[np.float64] | None = None,
) -> dict[str, Score]:
    """Scores of ``uniform`` and ``weighted`` training, and of ``oracle`` training that leaves out all noise.

    With ``log_influence`` (the net's factor by event, NaN: none) also of ``without_net``: the weights without it.
    ``weight`` and ``label`` are by event, NaN where there is none (it is then learned with weight 1; not scored).
    """
    lessons = _lessons(simulation)
    clean = simulation.columns.kind == KINDS.index("clean")
    weights = {
        "uniform": np.ones(len(clean)),
        "weighted": np.nan_to_num(weight, nan=1.0),
        "oracle": clean.astype(np.float64),
    }
    if log_influence is not None:
        weights["without_net"] = weights["weighted"] * np.exp(-np.nan_to_num(log_influence))
    predicted = {name: _one_pass(lessons, w) for name, w in weights.items()}
    scored = {name: _score(lessons, each, label, clean) for name, each in predicted.items()}
    users = simulation.columns.user[lessons.view_event]
    return _with_gains(scored, predicted, label[lessons.view_event], users, _held_out(lessons, label, clean))


def _with_gains(
    scored: dict[str, Score],
    predicted: dict[str, NDArray[np.float64]],
    label: NDArray[np.float64],
    user: NDArray[Any],
    held_out: NDArray[np.bool_],
) -> dict[str, Score]:
    """``scored`` with their gains over ``uniform``, all on the same draws of users."""
    stacked = np.stack([predicted[name][held_out] for name in scored])
    found = scores(label[held_out].astype(np.int8), stacked, user[held_out])
    without = np.array([list(scored).index("uniform")])
    for index, (name, score) in enumerate(scored.items()):
        gain = found.gain(np.array([index]), without)[METRICS.index("auc")]
        scored[name] = replace(score, auc_gain=gain.value, auc_gain_half=gain.interval()[1] - gain.value)
    return scored


def warm_up() -> None:
    """Compile what ``compare`` needs."""
    model = CurvatureLogisticRegression()
    model.learn_one({"item": "tea"}, True)
    model.predict_proba_one({"item": "tea"})


def _one_pass(lessons: _Lessons, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of every view, predicted before it is learned."""
    model = CurvatureLogisticRegression(prior_logit=-3.0)
    predicted = np.empty(len(lessons.rows))
    for start in range(0, int(lessons.event[-1]) + 1, BLOCK):
        views = slice(*np.searchsorted(lessons.view_event, (start, start + BLOCK)))
        taught = slice(*np.searchsorted(lessons.event, (start, start + BLOCK)))
        if views.stop > views.start:
            predicted[views] = model.predict_columns(lessons.rows[views])
        if taught.stop > taught.start:
            rows = lessons.rows[lessons.row[taught]]
            model.learn_columns(rows, lessons.label[taught], w=weight[lessons.event[taught]])
    return predicted


def _score(
    lessons: _Lessons, predicted: NDArray[np.float64], label: NDArray[np.float64], clean: NDArray[np.bool_]
) -> Score:
    y, held_out = label[lessons.view_event], _held_out(lessons, label, clean)
    before = _usable(lessons, label, clean, 1 - HELD_OUT - CALIBRATION) & ~held_out
    threshold = np.quantile(predicted[before], 1 - y[before].mean()) if before.any() else 0.5
    named, truly = predicted[held_out] > threshold, y[held_out] == 1
    hits = float((named & truly).sum())
    return Score(
        accuracy=float((named == truly).mean()),
        precision=hits / max(float(named.sum()), 1.0),
        recall=hits / max(float(truly.sum()), 1.0),
        auc=auc(truly, predicted[held_out]),
        views=int(held_out.sum()),
        positives=int(truly.sum()),
    )


def _held_out(lessons: _Lessons, label: NDArray[np.float64], clean: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which views are scored."""
    return _usable(lessons, label, clean, 1 - HELD_OUT)


def _usable(lessons: _Lessons, label: NDArray[np.float64], clean: NDArray[np.bool_], begin: float) -> NDArray[np.bool_]:
    """Which views are clean, have a label, and lie behind the share ``begin`` of the stream."""
    event = lessons.view_event
    return clean[event] & ~np.isnan(label[event]) & (event >= len(label) * begin)


def _lessons(simulation: Simulation) -> _Lessons:
    encode = CurvatureLogisticRegression().encode
    rows: list[Any] = []
    view_event: list[int] = []
    taught: list[tuple[int, float, int]] = []
    last_view: dict[tuple[int, int], int] = {}
    for event, (pair, etype, features) in enumerate(_behaviour(simulation)):
        if etype == VIEW_CODE:
            last_view[pair] = len(rows)
            taught.append((len(rows), 0.0, event))
            view_event.append(event)
            rows.append(encode(features)[0])
        elif etype == PURCHASE_CODE and pair in last_view:
            taught.append((last_view[pair], 1.0, event))
    row, label, at = (np.array(column) for column in zip(*taught, strict=True))
    return _Lessons(np.stack(rows), np.array(view_event), row, label, at)


def _behaviour(simulation: Simulation) -> Iterator[tuple[tuple[int, int], int, dict[Any, str]]]:
    """Pair, type and features of every event in time order; features are what any subscriber could count."""
    columns, category = simulation.columns, simulation.world.category
    seen: dict[tuple[int, int], int] = {}
    carted: set[tuple[int, int]] = set()
    last_ms: dict[int, int] = {}
    rows = zip(*(c.tolist() for c in (columns.user, columns.item, columns.etype, columns.time_ms)), strict=True)
    for user, item, etype, at in rows:
        pair = (user, item)
        pause_s = (at - last_ms.get(user, 0)) / 1_000
        yield (
            pair,
            etype,
            {
                "item": str(item),
                "category": str(category[item]),
                "seen": str(min(seen.get(pair, 0), 5)),
                "carted": str(pair in carted),
                "pause": str(int(np.log2(max(pause_s, 1.0)))),
            },
        )
        last_ms[user] = at
        if etype == VIEW_CODE:
            seen[pair] = seen.get(pair, 0) + 1
        elif etype == CART_CODE:
            carted.add(pair)
