"""The gate: only a candidate that would have made a subscriber's model better is announced.

A fixed learner is trained on the first 80 % of a window, once with uniform importance, once with that of the model in
force and once with the candidate's, and scored on the last 20 %, which no fine-tune has seen. The other factors of the
weight (noise, delay, balance) are the same in all three: whether *they* help is the guard's question, and where they
cost the learner something no net could ever pass. Samples more likely noise than not are not scored: a net that serves
bots would look good otherwise. Weights all equal are reported beside it and decide nothing.

Not to be worse is not enough, since importance that carries nothing is hardly ever worse: the candidate must show a
gain, over uniform importance and over the net in force. A gain is the mean of the paired differences of log loss,
sample by sample, and counts once its lower confidence bound, users as clusters, is above 0 (``clustered_mean``).

Whoever passed is held to it: what is in force and falls behind uniform importance later is taken back (``withdrawal``).

Pure numpy, deterministic, and the same for candidates from anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data import Ordered
from models.errors import ArtifactError
from models.forward import IMPORTANCE, NetWeights, scores_fast
from models.inputs import label_known, label_unknown
from models.learner import GateLearner
from models.manifest import Verdict
from models.metrics import (
    ClusteredMean,
    auc,
    calibration,
    clustered_mean,
    decisions,
    effective_share,
    gauc,
    log_losses,
)
from models.samples import SampleColumns
from models.settings import Gate

UNIFORM, CURRENT, CANDIDATE, UNWEIGHTED = "uniform", "current", "candidate", "unweighted"
GAIN = "gain"
"""Of a report: by how much the candidate's NLL is below the others', and the lower bounds."""
LIKELY_NOISE = 0.5
LARGEST_LOG = 20.0
"""Log weights are held within this before the exponential; the clip of weights is far inside."""
ROUNDING = 1e-12
"""No larger gain is one: equal weights give losses that differ in their last bits."""
MEAN_F_FACTOR = 1.25
"""Mean f over the gate's window may differ from the manifest's by this factor: weights would drift from mean 1."""


class Judged(NamedTuple):
    """A net and the mean f of its manifest."""

    weights: NetWeights
    mean_f: float


@dataclass(frozen=True)
class LearnerScores:
    """How the learner did with one kind of weights. Calibration: mean probability / positive rate."""

    nll: float
    auc: float
    gauc: float
    calibration: float
    effective_share: float
    accuracy: float
    precision: float
    recall: float
    coverage: float

    def figures(self) -> dict[str, float | None]:
        """By name, NaN as None."""
        return {name: _finite(value) for name, value in vars(self).items()}


class Trained(NamedTuple):
    """The learner's scores, and its log loss (n,) on each of the scored rows."""

    scores: LearnerScores
    losses: NDArray[np.float64]


def judge(order: Ordered, candidate: Judged, current: Judged | None, settings: Gate) -> Verdict:
    """Whether ``candidate`` may take the place of ``current`` (None: the published weights, without a net)."""
    samples = order.samples.take(slice(order.timed.start, order.test.stop))  # without the older positives
    n_train = order.test.start - order.timed.start
    try:
        f = importances(candidate.weights, samples)
    except ArtifactError as error:
        return Verdict(False, (str(error),))
    if reasons := _unsound(f, candidate.mean_f, settings):
        return Verdict(False, reasons)
    weights = {
        UNIFORM: composed(samples, np.zeros(len(samples)), settings),
        CURRENT: _of_current(samples, current, settings),
        CANDIDATE: composed(samples, factor(f[:, 1], candidate.mean_f, settings.k), settings),
        UNWEIGHTED: np.ones(len(samples)),
    }
    scored = samples.take(scored_rows(samples, n_train))
    if reasons := _too_few(scored.label, settings):
        return Verdict(False, reasons)
    results = {name: trained(samples, n_train, weight) for name, weight in weights.items()}
    serving = (UNIFORM,) if current is None else (UNIFORM, CURRENT)
    gains = {name: _gain(results[CANDIDATE], results[name], scored.user_hash, settings) for name in serving}
    scores = {name: result.scores for name, result in results.items()}
    reasons = (*_worse(scores, settings), *_without_gain(gains, len(scored), settings))
    figures = {name: each.figures() for name, each in scores.items()}
    return Verdict(
        passed=not reasons,
        reasons=reasons,
        report=figures | {GAIN: _gain_figures(gains), "importance": _spread(f, candidate)},
    )


def withdrawal(verdict: Verdict, settings: Gate) -> tuple[str, ...]:
    """Why the net in force is to be taken back; nothing where it may stay.

    It passed once. By the figures of a ``verdict`` that refused its successor, on what has settled since, it now does
    worse than uniform importance.
    """
    if verdict.passed or not {UNIFORM, CURRENT} <= verdict.report.keys():
        return ()
    current, uniform = (_result(verdict.report[name]) for name in (CURRENT, UNIFORM))
    return tuple(_behind(current, uniform, UNIFORM, settings))


def importances(weights: NetWeights, samples: SampleColumns) -> NDArray[np.float64]:
    """f (n, 2) of every sample: label unknown, label known.

    Raises:
        ArtifactError: the net takes other dense numbers than the samples have.
    """
    if weights.n_dense != samples.dense.shape[1]:
        raise ArtifactError(f"the net takes {weights.n_dense} dense numbers, samples have {samples.dense.shape[1]}")
    forms = label_unknown(samples, weights.buckets), label_known(samples, weights.buckets)
    return np.stack([scores_fast(weights, inputs)[:, IMPORTANCE] for inputs in forms], axis=1)


def factor(f: NDArray[np.float64], mean_f: float, k: float) -> NDArray[np.float64]:
    """Factor ``influence`` of log weight, log(k f / mean f)."""
    return np.log(np.maximum(k * f / mean_f, math.exp(-LARGEST_LOG)))


def composed(samples: SampleColumns, log_factor: NDArray[np.float64], settings: Gate) -> NDArray[np.float64]:
    """Weights (n,) as they would be published: raw factors and ``log_factor`` added, mean 1, clipped."""
    total = np.clip(samples.log_base.astype(np.float64) + log_factor, -LARGEST_LOG, LARGEST_LOG)
    weight = np.exp(total)
    return np.asarray(np.clip(weight / weight.mean(), settings.weight_min, settings.weight_max))


def trained(samples: SampleColumns, n_train: int, weight: NDArray[np.float64]) -> Trained:
    """The learner's figures on the scored rows, after one pass over those before ``n_train``."""
    train, scored = slice(0, n_train), scored_rows(samples, n_train)
    used = weight[train] / weight[train].mean()
    learner = GateLearner(samples.features)
    learner.learn(train, samples.label[train], used)
    label, p = samples.label[scored], learner.predict(scored)
    base_rate, losses = float(samples.label[train].mean()), log_losses(label, p)
    scores = LearnerScores(
        nll=float(losses.mean()),
        auc=auc(label, p),
        gauc=gauc(label, p, samples.user_hash[scored]),
        calibration=calibration(label, p),
        effective_share=effective_share(used),
        **decisions(label, p, base_rate, samples.item_hash[scored]),
    )
    return Trained(scores, losses)


def scored_rows(samples: SampleColumns, n_train: int) -> NDArray[np.int64]:
    """Rows from ``n_train`` on that are not likely noise."""
    return n_train + np.flatnonzero(samples.noise_probability[n_train:] < LIKELY_NOISE)


def _of_current(samples: SampleColumns, current: Judged | None, settings: Gate) -> NDArray[np.float64]:
    if current is None:
        return composed(samples, samples.log_scores.astype(np.float64), settings)
    f = importances(current.weights, samples)[:, 1]
    return composed(samples, factor(f, current.mean_f, settings.k), settings)


def _unsound(f: NDArray[np.float64], mean_f: float, settings: Gate) -> tuple[str, ...]:
    """Reasons that need no training to see."""
    if not (np.isfinite(f).all() and math.isfinite(mean_f) and mean_f > 0):
        return ("the importance or its mean is not finite and above 0",)
    reasons = []
    weight = settings.k * f / mean_f
    if weight.max() > settings.weight_max:
        reasons.append(f"a weight k f / mean f is {weight.max():.3g}, above {settings.weight_max:g}")
    if weight.min() < settings.weight_min:
        reasons.append(f"a weight k f / mean f is {weight.min():.3g}, below {settings.weight_min:g}")
    found = float(f.mean())
    if not 1 / MEAN_F_FACTOR <= found / mean_f <= MEAN_F_FACTOR:
        reasons.append(f"mean f is {found:.3g} here, the manifest says {mean_f:.3g}")
    return tuple(reasons)


def _too_few(label: NDArray[np.int8], settings: Gate) -> tuple[str, ...]:
    positives = int(label.sum())
    if settings.min_positives <= positives < len(label):
        return ()
    return (f"the scored part has {positives} positives of {len(label)}: a verdict needs {settings.min_positives}",)


def _worse(results: dict[str, LearnerScores], settings: Gate) -> tuple[str, ...]:
    candidate = results[CANDIDATE]
    reasons = [reason for name in (UNIFORM, CURRENT) for reason in _behind(candidate, results[name], name, settings)]
    if not _calibrated(candidate.calibration, results[UNIFORM].calibration, settings):
        bounds = f"[{settings.calibration_low:g}, {settings.calibration_high:g}]"
        uniform = f"{results[UNIFORM].calibration:.3f}"
        reasons.append(f"calibration {candidate.calibration:.3f} is outside {bounds}, uniform weights' is {uniform}")
    if candidate.effective_share < settings.effective_share:
        share = f"{candidate.effective_share:.2f} n"
        reasons.append(f"the effective sample size is {share}, below {settings.effective_share:g} n")
    return tuple(reasons)


def _behind(mine: LearnerScores, other: LearnerScores, name: str, settings: Gate) -> Iterator[str]:
    """In what ``mine`` is worse than ``other``, the result of the weights called ``name``, beyond the slack."""
    if not mine.nll <= other.nll * (1.0 + settings.nll_slack):
        yield f"NLL {mine.nll:.5f} is worse than {name} weights' {other.nll:.5f}"
    for figure in ("auc", "gauc"):
        found, theirs = getattr(mine, figure), getattr(other, figure)
        if found < theirs - settings.auc_slack:
            yield f"{figure.upper()} {found:.4f} is below {name} weights' {theirs:.4f}"


def _gain(mine: Trained, other: Trained, user: NDArray[np.uint64], settings: Gate) -> ClusteredMean:
    """By how much log loss is lower than ``other``'s, sample by sample; the bound is +inf where none is asked for."""
    differences = other.losses - mine.losses
    if settings.gain_level == 0:
        return ClusteredMean(float(differences.mean()), math.inf, len(np.unique(user)))
    return clustered_mean(differences, user, settings.gain_level)


def _without_gain(gains: Mapping[str, ClusteredMean], n: int, settings: Gate) -> tuple[str, ...]:
    reasons = []
    for name, gain in gains.items():
        if gain.lower > ROUNDING:
            continue
        bound = f"at a confidence of {settings.gain_level:g} at least {gain.lower:.2g}"
        of = f"{n:,} samples of {gain.clusters:,} users"
        reasons.append(f"no evidence of gain over {name} weights: in NLL {gain.mean:.2g}, {bound} ({of})")
    return tuple(reasons)


def _gain_figures(gains: Mapping[str, ClusteredMean]) -> dict[str, float | None]:
    means = {name: gain.mean for name, gain in gains.items()}
    bounds = {f"{name}_lower": _finite(gain.lower) for name, gain in gains.items()}
    return {**means, **bounds, "users": float(gains[UNIFORM].clusters)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _result(figures: Mapping[str, float | None]) -> LearnerScores:
    """What ``LearnerScores.figures`` gave."""
    return LearnerScores(**{name: math.nan if value is None else value for name, value in figures.items()})


def _calibrated(found: float, uniform: float, settings: Gate) -> bool:
    """Within the bounds; or, where the log drifts so that uniform weights are not, no farther from 1 than they are."""
    if settings.calibration_low <= found <= settings.calibration_high:
        return True
    outside = not settings.calibration_low <= uniform <= settings.calibration_high
    return outside and found > 0 and uniform > 0 and abs(math.log(found)) <= abs(math.log(uniform))


def _spread(f: NDArray[np.float64], judged: Judged) -> dict[str, float | None]:
    w = f / judged.mean_f
    return {
        "mean_unknown": float(f[:, 0].mean()),
        "mean_known": float(f[:, 1].mean()),
        "weight_min": float(w.min()),
        "weight_max": float(w.max()),
        "weight_deviation": float(w.std()),
    }
