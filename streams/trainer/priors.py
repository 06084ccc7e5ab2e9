"""Priors: what all partitions have learned, put together, judged, and made a version. Synchronous, writes nothing.

Not from settled samples: they come a whole attribution window late, and that costs most of what sharing gains. Measured
on taobao_815 with 4 partitions (AUC; alone .740, one partition .779): coefficients learned anew from samples .757, with
item and category counts from samples besides .755, the shards' own coefficients .777, with their counts besides .778.
A shard's checkpoint holds what it knows now, so it is read there; samples are what the result is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import Manifest, Verdict
from models.samples import SampleColumns
from models.snapshot import Contents, encode
from sie_online.announcements import PRIORS
from sie_online.contracts import BUILTIN_MODEL, CODE_VERSION, PROBABILITY_FLOOR
from sie_online.features import schema_hash
from sie_online.metrics import auc
from sie_online.recommender.kernels import RecommenderArrays, RecommenderConfig, predict_rows
from sie_online.recommender.pooling import Gains, replace, total
from sie_online.settings import Settings
from sie_online.settings.training import PriorsPooling
from sie_online.shard.pooled import initial_recommender
from streams.model_registry.artifacts import artifact_name
from streams.model_registry.priors import tensors_of

Probabilities = NDArray[np.float64]
LEAST_PARTITIONS = 2
LARGEST = 12.0
"""Of a coefficient, as a logit: real ones stay below 1 (taobao_815); one of 12 decides every prediction alone."""
FIGURES = 6
"""Digits after the point in a report."""


class ShardGains(NamedTuple):
    """What a shard had learned itself when ``next_offset`` was the next to process."""

    next_offset: int
    gains: Gains


class PooledPriors(NamedTuple):
    """A judged version."""

    contents: Contents
    manifest: Manifest


class Cadence:
    """When the next version is due: coefficients change by what is new against what is known."""

    def __init__(self, settings: PriorsPooling) -> None:
        self._settings = settings
        self._processed = 0

    def is_due(self, processed: int, waited_s: float = 0.0) -> bool:
        """Whether enough has come since ``done``: ``processed`` events in all, ``waited_s`` seconds later."""
        share = self._settings.growth * self._processed if waited_s < self._settings.longest_s else 0.0
        return processed - self._processed >= max(self._settings.every_events, share)

    def done(self, processed: int) -> None:
        """A version was made, whatever became of it."""
        self._processed = processed


def pools(settings: Settings) -> bool:
    """Whether priors are wanted, and the recommender's coefficients are ours to put together."""
    return settings.trainer.priors.enabled and not settings.recommender.classifier


def judges(samples: SampleColumns | None, rules: PriorsPooling) -> SampleColumns | None:
    """The newest of ``samples`` (chronological), to judge a version by; None while nothing has settled."""
    return None if samples is None else samples.take(np.flatnonzero(~samples.older)[-rules.judge_samples :])


def suffice(newest: SampleColumns | None, rules: PriorsPooling) -> bool:
    """Whether a verdict can be had now: nothing has settled yet, or there are enough positives."""
    return newest is None or newest.label.sum() >= rules.min_positives


def pooled(
    learned: Mapping[int, ShardGains],
    newest: SampleColumns | None,
    settings: Settings,
    version: str,
    parent: str,
    now_ms: int,
) -> PooledPriors:
    """The version made of ``learned`` (by partition), judged by the ``newest`` samples if there are any."""
    parts = {partition: each.gains for partition, each in learned.items()}
    contents = encode(tensors_of(parts))
    verdict = judge(parts, newest, settings)
    manifest = Manifest(
        version=version,
        parent=None if parent == BUILTIN_MODEL else parent,
        uri=artifact_name(version, PRIORS),
        size=len(contents.data),
        sha256=contents.sha256,
        tensors=contents.tensors,
        feature_schema_hash=schema_hash(),
        mean_f=1.0,
        train_offsets={str(partition): (0, each.next_offset - 1) for partition, each in sorted(learned.items())},
        metrics=verdict.report.get("pooled", {}),
        baseline_metrics=verdict.report.get("published", {}),
        gate=verdict,
        created_at_ms=now_ms,
        code_version=CODE_VERSION,
        model=PRIORS,
    )
    return PooledPriors(contents, manifest)


def judge(parts: Mapping[int, Gains], newest: SampleColumns | None, settings: Settings) -> Verdict:
    """Three conditions, so that neither a shard that knows nothing nor one that knows much is harmed:

    - no coefficient of all together is larger than ``LARGEST``
    - held out: samples of each partition, scored by what the *other* partitions have learned, which never saw them,
      must not have a worse NLL than the rate of positives (of just these samples: a little is conceded to hindsight)
    - all together must not have a worse NLL than the probabilities that were published; they have seen these samples,
      which is why this alone would not do

    In the first attribution window of a stream nothing has settled, and the first condition decides alone: to wait
    would cost most where sharing gains most (16 partitions of taobao_815: AUC .760 with, .771 without the wait).
    """
    start = initial_recommender(settings)
    together = _model([gains for _, gains in sorted(parts.items())], start)
    reasons = _bounded(together)
    report: dict[str, dict[str, float | None]] = {}
    if newest is not None and not reasons:
        report = _report(parts, together, newest, start, settings)
        reasons = _compared(report, settings.trainer.priors)
    return Verdict(not reasons, reasons, report)


def _bounded(model: RecommenderArrays) -> tuple[str, ...]:
    largest = float(np.abs(model.linear[..., 0]).max())
    return () if largest <= LARGEST else (f"a coefficient is {largest:.3g}, and {LARGEST:g} is the most",)


def _report(
    parts: Mapping[int, Gains],
    together: RecommenderArrays,
    newest: SampleColumns,
    start: RecommenderArrays,
    settings: Settings,
) -> dict[str, dict[str, float | None]]:
    label, strength = newest.label.astype(np.float64), settings.guard.highest
    others = np.empty(len(label))
    for partition in np.unique(newest.partition).tolist():
        rows = newest.partition == partition
        rest = [gains for number, gains in sorted(parts.items()) if number != partition]
        others[rows] = _scores(_model(rest, start), newest.features[rows], strength)
    return {
        "pooled": _figures(label, _scores(together, newest.features, strength)),
        "published": _figures(label, newest.probability.astype(np.float64)),
        "others": _figures(label, others),
        "rate": _figures(label, np.full(len(label), label.mean())),
    }


def _compared(report: Mapping[str, Mapping[str, float | None]], rules: PriorsPooling) -> tuple[str, ...]:
    found = []
    for kind, what, than, against, slack in (
        ("pooled", "what all partitions have learned", "published", "what was published", rules.nll_slack),
        ("others", "what the other partitions have learned", "rate", "the rate of positives", rules.held_out_slack),
    ):
        nll, bound = report[kind]["nll"], report[than]["nll"]
        if nll is None or bound is None or not nll <= bound * (1.0 + slack):
            found.append(f"NLL {nll} of {what} is worse than {bound} of {against}")
    return tuple(found)


def _model(parts: Sequence[Gains], start: RecommenderArrays) -> RecommenderArrays:
    model = start._replace(linear=start.linear.copy(), factors=start.factors.copy())
    replace(model, start, None, total(parts, start))
    return model


def _scores(model: RecommenderArrays, features: NDArray[np.uint32], strength: float) -> Probabilities:
    """What a shard with ``model`` publishes as probability."""
    found = []
    for twin in ([0], [1]):
        one = model._replace(
            linear=np.ascontiguousarray(model.linear[:, twin]), factors=np.ascontiguousarray(model.factors[:, twin])
        )
        out = np.empty(len(features))
        predict_rows(RecommenderConfig(), one, features, np.ones(features.shape), out)
        found.append(out)
    uniform, weighted = found
    scores: Probabilities = (1.0 - strength) * uniform + strength * weighted
    return scores


def _figures(label: NDArray[np.float64], probability: Probabilities) -> dict[str, float | None]:
    p = np.clip(probability, PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
    nll = -np.mean(label * np.log(p) + (1.0 - label) * np.log1p(-p))
    return {"nll": round(float(nll), FIGURES), "auc": round(auc(label, probability), FIGURES)}
