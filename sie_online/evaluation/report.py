"""What an evaluation found: the books, and figures of the rows that were published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from river.metrics import LogLoss

from sie_online.contracts import CODE_VERSION
from sie_online.evaluation.inspection import SourceFindings
from sie_online.metrics import auc, quantiles

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Scores:
    """How well some settled samples were predicted; figures are None where there are none, AUC also with one class."""

    samples: int = 0
    positive: int = 0
    log_loss: float | None = None
    auc: float | None = None


@dataclass(frozen=True)
class ListFigures:
    """How many lists were written, and which share of them was for users of whom nothing was known."""

    written: int
    cold_share: float

    @classmethod
    def of(cls, written: int, cold: int) -> ListFigures:
        """From counts."""
        return cls(written, cold / written if written else 0.0)


@dataclass
class EvaluationReport:
    """What an evaluation found. ``auc`` and ``log_loss`` are progressive: of revision 0 against the final label.

    They are of all samples that settled, among them the first, of which nothing could be known, and the last, which the
    log's end has settled. ``scored`` are those in between: a window or more after the first event and before the last
    one. Published comparisons of recommenders are usually of these.
    ``events_in = events_weighted + duplicates + heartbeats + erasures + dead_letters``. Weights are those of each
    event's last revision. AUC and log loss are None where no sample, or only one class, has matured. ``rows_by_model``
    counts rows by the model version in force. ``source`` is what the records were found to be before. ``lists`` is None
    where none were asked for.
    """

    partitions: int
    settings_fingerprint: str
    code_version: str = CODE_VERSION
    events_in: int = 0
    events_weighted: int = 0
    duplicates: int = 0
    heartbeats: int = 0
    erasures: int = 0
    dead_letters: int = 0
    rows: int = 0
    rows_by_model: dict[str, int] = field(default_factory=dict)
    samples_matured: int = 0
    samples_positive: int = 0
    log_loss: float | None = None
    auc: float | None = None
    calibration: float | None = None
    scored: Scores = field(default_factory=Scores)
    weight_mean: float | None = None
    weight_quantiles: dict[str, float] = field(default_factory=dict)
    source: SourceFindings = field(default_factory=SourceFindings)
    lists: ListFigures | None = None

    def conclude(self, found: Sequence[Progressive], window_ms: int) -> None:
        """Fill in the figures of the rows of all partitions."""
        columns = zip(*found, strict=True)
        probability, label, time_ms, weight, spans = (np.concatenate(column) for column in columns)
        self.samples_matured, self.samples_positive = len(label), int(label.sum())
        if len(weight):
            self.weight_mean = float(weight.mean())
            self.weight_quantiles = quantiles(weight, QUANTILES)
        if len(label):
            self.log_loss = _log_loss(label, probability)
        if 0 < self.samples_positive < len(label):
            self.auc = auc(label, probability)
            self.calibration = float(probability.sum() / label.sum())
        if len(spans):
            warm = (time_ms >= spans.min() + window_ms) & (time_ms < spans.max() - window_ms)
            self.scored = _scores(label[warm], probability[warm])


class Progressive(NamedTuple):
    """Of matured samples the first probability, the final label and the event time; of all events the last weight, and
    the first and the last event time.
    """

    probability: NDArray[np.float64]
    label: NDArray[np.int8]
    time_ms: NDArray[np.int64]
    weight: NDArray[np.float64]
    span_ms: NDArray[np.int64]

    @classmethod
    def of(cls, rows: pa.Table) -> Progressive:
        """From one partition's rows, sorted by offset and revision."""
        names = ("offset", "probability", "weight", "event_time_ms")
        offset, probability, weight, time_ms = (rows[name].to_numpy() for name in names)
        begins = np.diff(offset, prepend=-1) != 0
        first = np.flatnonzero(begins)[np.cumsum(begins) - 1] if len(offset) else np.empty(0, np.int64)
        matured = rows["final"].to_numpy().astype(np.bool_) & rows["label"].is_valid().to_numpy()
        label = np.nan_to_num(rows["label"].to_numpy()).astype(np.int8)
        last = np.append(begins[1:], True) if len(offset) else begins
        span_ms = np.array([time_ms.min(), time_ms.max()]) if len(time_ms) else np.empty(0, np.int64)
        return cls(probability[first][matured], label[matured], time_ms[matured], weight[last], span_ms)


def _scores(label: NDArray[np.int8], probability: NDArray[np.float64]) -> Scores:
    n, positive = len(label), int(label.sum())
    both = 0 < positive < n
    loss = _log_loss(label, probability) if n else None
    return Scores(n, positive, loss, auc(label, probability) if both else None)


def _log_loss(label: NDArray[np.int8], probability: NDArray[np.float64]) -> float:
    loss: Any = LogLoss()  # type: ignore[no-untyped-call]
    for y, p in zip(label.astype(np.bool_).tolist(), probability.tolist(), strict=True):
        loss.update(y, p)
    return float(loss.get())
