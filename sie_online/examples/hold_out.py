"""What is learned and what is scored: samples that had settled by a cut, and those whose events came after it.

So a label is never known before the stream knew it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online.errors import UsageError
from sie_online.examples.samples import TrainingSamples

MIN_LEARNED = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """``held_out``: last share of the events that is scored. ``noise_below``: of these, only samples with a lower
    ``noise_probability``; ``genuine``: only these events, by id. ``resamples``: of the bootstrap behind the intervals;
    0: no intervals.
    """

    held_out: float = 0.3
    noise_below: float = 1.0
    genuine: pa.Array | None = None
    resamples: int = 200
    seed: int = 0

    @property
    def scores_noise(self) -> bool:
        """Whether what is scored holds the stream's own noise."""
        return self.noise_below >= 1.0 and self.genuine is None

    def cut_ms(self, samples: TrainingSamples, before: float = 1.0) -> float:
        """When the held-out part begins, or an earlier time: the end of ``before`` of the events before it."""
        return float(np.quantile(samples.event_time_ms, before * (1.0 - self.held_out)))


@dataclass(frozen=True, slots=True)
class HoldOut:
    """Rows of the samples (indices)."""

    learned: NDArray[np.intp]
    """Settled by the cut, in that order."""
    scored: NDArray[np.intp]
    """Of later events."""
    unsettled: int
    """Events before the cut whose labels came after it: neither learned nor scored."""

    @classmethod
    def at(cls, samples: TrainingSamples, plan: Plan, cut_ms: float, end_ms: float = np.inf, least: int = 1) -> HoldOut:
        """Cut at ``cut_ms``; of later events those that had settled by ``end_ms``.

        Raises:
            UsageError: too few samples have settled before the cut, or either part has fewer than ``least`` of a class.
        """
        earlier, settled = samples.event_time_ms <= cut_ms, samples.settled_ms <= cut_ms
        learned = np.flatnonzero(settled)
        learned = learned[np.argsort(samples.settled_ms[learned], kind="stable")]
        scored = np.flatnonzero(~earlier & (samples.settled_ms <= end_ms) & _may_be_scored(samples, plan))
        if len(learned) < MIN_LEARNED:
            raise UsageError(
                f"only {len(learned)} of {len(samples)} samples had settled when the held-out part begins: the stream "
                "must be longer than its attribution window; read more of it, or hold out less (--held-out)"
            )
        for rows, name in ((learned, "learned"), (scored, "held-out")):
            _require_both_classes(samples.label[rows], name, least)
        return cls(learned, scored, int((earlier & ~settled).sum()))


def _may_be_scored(samples: TrainingSamples, plan: Plan) -> NDArray[np.bool_]:
    sound: NDArray[np.bool_] = samples.noise_probability < plan.noise_below
    if plan.genuine is not None:
        sound &= pc.is_in(pa.array(samples.event_id, pa.string()), plan.genuine).to_numpy(zero_copy_only=False)
    return sound


def _require_both_classes(label: NDArray[Any], name: str, least: int) -> None:
    positives = int(label.sum())
    if not 0 < positives < len(label):
        raise UsageError(f"all {len(label)} {name} samples have the same label: there is nothing to compare")
    if (fewer := min(positives, len(label) - positives)) < least:
        raise UsageError(
            f"only {fewer} of {len(label)} {name} samples are of one class, and fewer than {least} decide nothing: "
            "read more of the stream"
        )
