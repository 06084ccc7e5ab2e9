"""The pictures of an evaluation: gain over time, reliability, weights, detection by family."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sie_online.evaluation.compare.arms import PUBLISHED, UNIFORM
from sie_online.evaluation.compare.scores import log_loss
from sie_online.evaluation.compare.settled import Floats
from sie_online.evaluation.compare.trial import Comparison
from sie_online.evaluation.pictures.svg import BOTTOM, TOP, Chart
from sie_online.evaluation.pollution.figures import Pollution
from sie_online.metrics import clustered_mean
from sie_online.moments import HOUR_MS, moment

SLICES = 12
HOURS, MOST_TICKS = (1, 2, 3, 6, 12, 24, 48, 168, 720, 8_760), 5
BINS = 10
ONE_SIDED = 0.975
"""Level of each side of a 95 % band."""
LEAST_PROBABILITY = 1e-3
COLOURS = ("#1f77b4", "#d97706", "#2a9d8f", "#7c5cbf")
GREY = "#9aa5b1"
ROW_HEIGHT = 17


def gain_over_time(found: Comparison) -> str:
    """Gain in log loss of the published weights over uniform ones, in slices of the held-out time, with 95 % bands."""
    rows = np.flatnonzero(found.judged)
    judged = found.scored.take(rows)
    slices = np.array_split(np.arange(len(rows)), min(SLICES, len(rows)))
    at = [float(judged.event_time_ms[part].mean()) for part in slices]
    bands = {}
    for learner in dict.fromkeys(guess.learner for guess in found.guesses):
        uniform, published = (mean_loss(found, learner, arm, rows) for arm in (UNIFORM, PUBLISHED))
        bands[learner] = [_band((uniform - published)[part], judged.user[part]) for part in slices]
    edge = 1.1 * max(abs(end) for band in bands.values() for low, _, high in band for end in (low, high)) or 1.0
    chart = Chart(
        f"Gain of the weights over time ({found.verdict.population})",
        (at[0], max(at[-1], at[0] + 1.0)),
        (-edge, edge),
        y_name="gain in log loss, 95 % band",
        show_x=lambda ms: moment(int(ms))[5:16],
        x_ticks=hours(at[0], at[-1]),
        show_y="{:+.3g}".format,
    )
    chart.line([at[0], at[-1]], [0.0, 0.0], GREY, dashed=True)
    for (learner, band), colour in zip(bands.items(), COLOURS, strict=False):
        low, mean, high = zip(*band, strict=True)
        chart.band(at, low, high, colour)
        chart.line(at, mean, colour, learner)
    return chart.svg()


def hours(begin_ms: float, end_ms: float) -> list[float]:
    """Whole hours within the time, in UTC, some at most."""
    step = next((each for each in HOURS if (end_ms - begin_ms) / (each * HOUR_MS) <= MOST_TICKS), HOURS[-1]) * HOUR_MS
    return [float(at * step) for at in range(math.ceil(begin_ms / step), math.floor(end_ms / step) + 1)]


def reliability(found: Comparison) -> str:
    """How often held-out samples were positive, by what was predicted; first learner, uniform and published weights."""
    rows = np.flatnonzero(found.judged)
    label, learner = found.scored.label[rows], found.guesses[0].learner
    chart = Chart(
        f"Reliability ({learner})",
        (LEAST_PROBABILITY, 1.0),
        (LEAST_PROBABILITY, 1.0),
        x_name="predicted probability",
        y_name="share that was positive",
        log_x=True,
        log_y=True,
    )
    chart.line([LEAST_PROBABILITY, 1.0], [LEAST_PROBABILITY, 1.0], GREY, dashed=True)
    for arm, colour in ((UNIFORM, GREY), (PUBLISHED, COLOURS[0])):
        p = predictions(found, learner, arm)[0, rows]
        bins = np.array_split(np.argsort(p, kind="stable"), min(BINS, len(rows)))
        predicted, positive = ([float(column[part].mean()) for part in bins] for column in (p, label))
        chart.line(predicted, positive, colour, f"{arm} weights")
        chart.points(predicted, positive, colour)
    return chart.svg()


def weights(found: Comparison) -> str:
    """How the published weights of the held-out samples are distributed."""
    weight = np.maximum(found.scored.weight, 1e-6)
    low, high = float(weight.min()) / 1.2, float(weight.max()) * 1.2
    edges = np.geomspace(low, high, 41)
    counts = np.histogram(weight, edges)[0]
    chart = Chart(
        "Published weights of the held-out samples",
        (low, high),
        (0.5, 2.0 * float(counts.max())),
        x_name="weight",
        y_name="samples",
        log_x=True,
        log_y=True,
    )
    for left, right, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
        if count:
            chart.box((left, right), (0.5, float(count)), COLOURS[0])
    return chart.svg()


def detection(found: Pollution) -> str:
    """AUC of P(noise) by family, the least first; a dot for each mixture."""
    families = sorted((each for each in found.families() if each.auc is not None), key=lambda each: each.auc or 0.0)
    chart = Chart(
        "Detection by family: AUC of P(noise)",
        (min([0.5, *(each.auc or 0.5 for each in families)]), 1.0),
        (float(max(len(families), 1)), 0.0),
        margin=170,
        height=TOP + BOTTOM + ROW_HEIGHT * max(len(families), 1),
        show_x="{:.2f}".format,
    )
    for row, family in enumerate(families):
        chart.box((0.0, family.auc or 0.0), (row + 0.2, row + 0.8), COLOURS[0])
        chart.label(row + 0.5, family.family.replace("_", " "))
        dots = [
            mixture.auc for mixture in found.mixtures if mixture.family == family.family and mixture.auc is not None
        ]
        chart.points(dots, [row + 0.5] * len(dots), COLOURS[1])
    return chart.svg(y_ticks=False)


def predictions(found: Comparison, learner: str, arm: str) -> Floats:
    """What ``learner`` predicted of the held-out samples, trained with weights ``arm``, (seeds, n)."""
    return next(guess.predictions for guess in found.guesses if (guess.learner, guess.arm) == (learner, arm))


def mean_loss(found: Comparison, learner: str, arm: str, rows: NDArray[np.int64]) -> Floats:
    """Log loss of the samples ``rows``, mean over seeds, (len(rows),)."""
    label = found.scored.label[rows]
    losses = np.stack([log_loss(label, one[rows]) for one in predictions(found, learner, arm)])
    mean: Floats = losses.mean(axis=0)
    return mean


def _band(gain: Floats, user: NDArray[np.int64]) -> Sequence[float]:
    found = clustered_mean(gain, user, ONE_SIDED)
    half = found.mean - found.lower if np.isfinite(found.lower) else 0.0
    return found.mean - half, found.mean, found.mean + half
