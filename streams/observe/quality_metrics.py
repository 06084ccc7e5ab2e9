"""How good the recommender's predictions and how noisy the events are, shard by shard, as sums that anybody can divide.

Both twins of the recommender are judged on the same samples by what they said at the event, before they learned from
it: progressive validation. A quotient over any window and any partitions is one of sums, so counters it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.metrics import log_losses
from sie_online.contracts import EVENT_TYPES
from sie_online.recommender.kernels import TWIN_NAMES
from streams.observe.families import Families
from streams.observe.running_auc import RunningAuc

if TYPE_CHECKING:
    from sie_online.shard.figures import JudgedSamples, NoiseByType

LABELS = ("negative", "positive")


class QualityMetrics:
    """The figures of all shards of one worker."""

    def __init__(self, families: Families) -> None:
        self._samples = families.counter(
            "recommender_samples", "Settled samples by which the recommender was judged.", "partition", "label"
        )
        self._log_loss = families.counter(
            "recommender_log_loss",
            "Sum of the log losses (nats) of what was predicted at the event, over settled samples.",
            *("partition", "twin"),
        )
        self._predicted = families.counter(
            "recommender_predicted",
            "Sum of the probabilities predicted at the event, over settled samples.",
            *("partition", "twin"),
        )
        self._auc = families.shard_gauge(
            "recommender_auc", "AUC of what was predicted, on the newest settled samples.", "twin"
        )
        self._judged = families.counter("noise_judged_events", "Events judged.", "partition", "type")
        self._probability = families.counter(
            "noise_probability", "Sum of P(noise) as first stated.", "partition", "type"
        )
        self._noisy = families.counter(
            "noisy_events", "Events more likely noise than not, as first stated.", "partition", "type"
        )
        self._running: dict[str, tuple[RunningAuc, ...]] = {}

    def begin(self, shard: str) -> None:
        """Have all counters of a shard, at 0: a rate misses the step with which a series appears.

        Its AUC has no series before both labels were seen.
        """
        for label in LABELS:
            self._samples.labels(shard, label)
        for twin in TWIN_NAMES:
            self._log_loss.labels(shard, twin)
            self._predicted.labels(shard, twin)
        for name in EVENT_TYPES:
            for counter in (self._judged, self._probability, self._noisy):
                counter.labels(shard, name)
        self._running.setdefault(shard, tuple(RunningAuc() for _ in TWIN_NAMES))

    def end(self, shard: str) -> None:
        """Forget the newest samples of a shard."""
        self._running.pop(shard, None)

    def judge(self, shard: str, samples: JudgedSamples) -> None:
        """Count settled samples by what the twins said of them."""
        n, positives = len(samples.positive), int(samples.positive.sum())
        if not n:
            return
        self._samples.labels(shard, "positive").inc(positives)
        self._samples.labels(shard, "negative").inc(n - positives)
        for twin, probability in zip(TWIN_NAMES, samples.probability, strict=True):
            self._log_loss.labels(shard, twin).inc(log_losses(samples.positive, probability).sum())
            self._predicted.labels(shard, twin).inc(probability.sum())
        for twin, probability, auc in zip(TWIN_NAMES, samples.probability, self._running.get(shard, ()), strict=False):
            auc.add(samples.positive, probability)
            if not math.isnan(now := auc.value):
                self._auc.labels(shard, twin).set(now)

    def observe_noise(self, shard: str, noise: NoiseByType) -> None:
        """Count events by their first statement's P(noise)."""
        for name, judged, probability, noisy in zip(EVENT_TYPES, *noise, strict=True):
            if judged:
                self._judged.labels(shard, name).inc(judged)
                self._probability.labels(shard, name).inc(probability)
                self._noisy.labels(shard, name).inc(noisy)
