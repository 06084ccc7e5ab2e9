"""What thinning negatives costs: ``python -m tests.benchmarks.subsample results/samples.parquet``.

The samples, as `sie evaluate FILE --out results --samples` writes them, go through a hashed logistic regression in one
pass of progressive validation: a sample is predicted at its event with what had settled by then, and learned when it
settles. All rows are predicted, few are learned: ``subsample`` beside uniform thinning, negatives alike or in
proportion to p, and weights 1 / pi_0 on the very rows of ``subsample``. Scored are samples after the first and before
the last attribution window, as in `sie evaluate`.

The learner's two rates are chosen by its log loss on all rows, once. Intervals are of the mean over the salts, users
drawn with replacement, all methods on the same draws; beside them the least and the most of any salt.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online.client.subsample import CORRECTION, Subsampler, draws, subsample
from sie_online.evaluation.compare.learners import logistic, logistic_margin
from sie_online.evaluation.compare.scores import METRICS, Scores, scores
from sie_online.examples.samples import read_file
from sie_online.jit import kernel
from sie_online.settings import load
from tests.benchmarks import BENCH
from tests.benchmarks.machine import describe

RESULT = BENCH / "subsample.json"
BUDGETS = (0.5, 0.2, 0.1, 0.05)
RATES, FIRST_SQUARES = (0.02, 0.03, 0.05, 0.08, 0.12), (0.1, 1.0, 3.0, 10.0)
WIDTH = 1 << 16
STREAM_BATCH = 1_000
AUC, NLL = METRICS.index("auc"), METRICS.index("nll")

Floats = NDArray[np.float64]


@kernel
def progressive(
    features: Any,
    label: Any,
    seen: Any,
    settled: Any,
    lesson: Any,
    rate: float,
    coefficient: Any,
    square: Any,
    out: Any,
) -> None:
    """Predict every sample at its event, learn it once it has settled; AdaGrad on the logistic loss.

    seen: rows in order of their events. settled: ``row`` in order of settlement, and how many events are ``before``.
    lesson: (n, 3), of each row whether it is learned, its correction and its weight.
    """
    at = 0
    for event in range(seen.shape[0]):
        while at < settled.shape[0] and settled[at].before <= event:
            row = settled[at].row
            at += 1
            if lesson[row, 0] == 0.0:
                continue
            margin = logistic_margin(features, row, coefficient) + lesson[row, 1]
            gradient = (logistic(margin) - label[row]) * lesson[row, 2]
            square[0] += gradient * gradient
            coefficient[0] -= rate * gradient / math.sqrt(square[0])
            for nth in range(features.shape[1]):
                place = features[row, nth]
                if place != 0:
                    square[place] += gradient * gradient
                    coefficient[place] -= rate * gradient / math.sqrt(square[place])
        out[seen[event]] = logistic(logistic_margin(features, seen[event], coefficient))


class Learner(NamedTuple):
    """AdaGrad's step, and what its sums of squares begin with."""

    rate: float
    first_square: float


class Stream:
    """The samples as columns, and the order in which they are predicted and learned."""

    def __init__(self, samples: pa.Table, window_ms: int) -> None:
        self.samples = samples
        event_ms, settled_ms = samples["event_time_ms"].to_numpy(), samples["settled_ms"].to_numpy()
        width = samples.schema.field("features").type.list_size
        self.label = samples["label"].to_numpy()
        self._features = samples["features"].combine_chunks().flatten().to_numpy().reshape(-1, width) % WIDTH
        self._seen = np.argsort(event_ms, kind="stable")
        order = np.argsort(settled_ms, kind="stable")
        self._settled = np.zeros(len(order), [("row", np.int64), ("before", np.int64)])
        self._settled["row"] = order
        self._settled["before"] = np.searchsorted(event_ms[self._seen], settled_ms[order])
        inner = (event_ms >= event_ms.min() + window_ms) & (event_ms <= event_ms.max() - window_ms)
        self.scored = np.flatnonzero(inner)
        self.user = samples["user_hash"].to_numpy()[inner]
        share = self.label[order[: len(order) // 10]].mean()
        self.begin = math.log(share / (1 - share))

    def predictions(self, learner: Learner, learned: NDArray[Any], correction: Floats, weight: Floats) -> Floats:
        """P(positive) of the scored samples; ``learned`` (indices) are learned, with ``correction`` and ``weight``."""
        lesson = np.zeros((len(self.label), 3))
        lesson[learned] = np.stack([np.ones(len(learned)), correction, weight], axis=1)
        coefficient, square = np.zeros(WIDTH), np.full(WIDTH, learner.first_square)
        coefficient[0] = (
            self.begin
        )  # the first day's rate: a learner that begins at p = 1/2 spends its first steps on it
        out = np.empty(len(self.label))
        progressive(
            self._features, self.label, self._seen, self._settled, lesson, learner.rate, coefficient, square, out
        )
        return out[self.scored]

    def of_all(self, learner: Learner) -> Floats:
        """The same with all samples learned."""
        n = len(self.label)
        return self.predictions(learner, np.arange(n), np.zeros(n), np.ones(n))


def chosen(stream: Stream) -> Learner:
    """The learner with the least log loss on all rows."""
    label = stream.label[stream.scored]

    def loss(learner: Learner) -> float:
        p = stream.of_all(learner)
        return -float(np.log(np.where(label == 1, p, 1 - p)).mean())

    return min((Learner(*each) for each in product(RATES, FIRST_SQUARES)), key=loss)


class Lesson(NamedTuple):
    """Which rows are learned, and how; all (n,)."""

    rows: NDArray[np.int64]
    correction: Floats
    weight: Floats


def lessons(samples: pa.Table, budget: float, salt: int) -> dict[str, Lesson]:
    """By method."""
    numbered = samples.select(["event_id", "label", "probability"]).append_column("row", pa.array(range(len(samples))))
    squared = numbered.append_column("square", pc.power(numbered["probability"], 2))
    exact = subsample(numbered, budget, salt=salt)
    streamed = Subsampler(budget, salt=salt)
    parts = [streamed.take(batch) for batch in numbered.to_batches(max_chunksize=STREAM_BATCH)]
    alike = subsample(numbered, budget, by=None, salt=salt)
    uniform = np.flatnonzero(draws(samples["event_id"], salt) < budget)
    corrected = _corrected(exact)
    negative = exact["label"].to_numpy() == 0
    inverse = np.where(negative, np.exp(corrected.correction), 1.0)
    return {
        "subsample": corrected,
        "subsample, streamed": _corrected(pa.Table.from_batches(parts)),
        "negatives alike": _corrected(alike),
        "in proportion to p": _corrected(subsample(squared, budget, by="square", salt=salt)),
        "inverse weighting": Lesson(corrected.rows, np.zeros(len(exact)), inverse),
        "uniform thinning": Lesson(uniform, np.zeros(len(uniform)), np.ones(len(uniform))),
    }


def _corrected(kept: pa.Table) -> Lesson:
    return Lesson(kept["row"].to_numpy(), kept[CORRECTION].to_numpy(), np.ones(len(kept)))


@dataclass(frozen=True)
class Figure:
    """A method at a budget, against learning all rows; shares are relative, ``auc`` and ``nll`` (value, low, high)."""

    budget: float
    method: str
    kept: tuple[float, float]
    """Least and most of (kept share / budget - 1)."""
    auc: tuple[float, float, float]
    auc_of_salts: tuple[float, float]
    nll: tuple[float, float, float]
    nll_of_salts: tuple[float, float]
    calibration: tuple[float, float]
    """Least and most of mean p / positive rate."""


def measure(stream: Stream, learner: Learner, salts: int) -> tuple[dict[str, float], list[Figure]]:
    """Scores of all rows, and what each method does to them at each budget."""
    full = stream.of_all(learner)
    cases = list(product(BUDGETS, lessons(stream.samples, BUDGETS[0], 0)))
    kept: dict[tuple[float, str], list[int]] = {case: [] for case in cases}
    guesses: dict[tuple[float, str], list[Floats]] = {case: [] for case in cases}
    for budget, salt in product(BUDGETS, range(salts)):
        for method, lesson in lessons(stream.samples, budget, salt).items():
            kept[budget, method].append(len(lesson.rows))
            guesses[budget, method].append(stream.predictions(learner, *lesson))
    label = stream.label[stream.scored]
    flat = [full, *(guess for case in cases for guess in guesses[case])]
    found = scores(label, np.stack(flat), stream.user)
    rate = float(label.mean())
    of_all = dict(zip(METRICS, found.values[0].tolist(), strict=True))
    figures = [
        _figure(
            found,
            np.arange(1 + nth * salts, 1 + (nth + 1) * salts),
            budget,
            method,
            np.array(kept[budget, method]) / len(stream.label),
            np.mean(guesses[budget, method], axis=1) / rate,
        )
        for nth, (budget, method) in enumerate(cases)
    ]
    return of_all | {"calibration": float(full.mean()) / rate}, figures


def _figure(found: Scores, at: NDArray[Any], budget: float, method: str, kept: Floats, calibration: Floats) -> Figure:
    gains = found.gain(at, np.array([0]))
    each, full = found.values[at] - found.values[0], found.values[0, NLL]
    loss_low, loss_high = (-end / full for end in reversed(gains[NLL].interval()))  # a gain is a fall of the loss
    return Figure(
        budget,
        method,
        _ends(kept / budget - 1),
        (gains[AUC].value, *gains[AUC].interval()),
        _ends(each[:, AUC]),
        (-gains[NLL].value / full, loss_low, loss_high),
        _ends(each[:, NLL] / full),
        _ends(calibration),
    )


def _ends(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def lines(of_all: dict[str, float], figures: list[Figure]) -> Iterator[str]:
    """The table."""
    yield f"all rows: AUC {of_all['auc']:.4f}, NLL {of_all['nll']:.5f}, mean p / rate {of_all['calibration']:.3f}"
    yield ""
    yield f"{'budget':<8}{'':<21}{'kept/budget - 1':>18}{'AUC':>10}{'95 % of users':>20}{'salts':>20}" + (
        f"{'NLL':>9}{'95 % of users':>20}{'salts':>20}{'mean p / rate':>16}"
    )
    for one in figures:
        yield (
            f"{one.budget:<8g}{one.method:<21}{_band(one.kept, '+.2%'):>18}{one.auc[0]:>+10.4f}"
            f"{_band(one.auc[1:], '+.4f'):>20}{_band(one.auc_of_salts, '+.4f'):>20}{one.nll[0]:>+9.2%}"
            f"{_band(one.nll[1:], '+.2%'):>20}{_band(one.nll_of_salts, '+.2%'):>20}{_band(one.calibration, '.3f'):>16}"
        )


def _band(ends: tuple[float, ...], how: str) -> str:
    return f"[{ends[0]:{how}}, {ends[1]:{how}}]"


def main() -> None:
    """Measure and print; JSON beside."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.subsample", description=__doc__)
    parser.add_argument("file", type=Path, help="settled samples, of one partition")
    parser.add_argument("--salts", type=int, default=5, help="choices of rows at each budget")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    stream = Stream(read_file(given.file), load({}).labels.window_ms)
    learner = chosen(stream)
    positives = int(stream.label[stream.scored].sum())
    print(f"{given.file.name}: {len(stream.label):,} samples, {len(stream.scored):,} scored, {positives:,} positive")
    print(f"learner: AdaGrad, rate {learner.rate:g}, first square {learner.first_square:g}")
    of_all, figures = measure(stream, learner, given.salts)
    print(*lines(of_all, figures), sep="\n")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "machine": describe(),
        "file": given.file.name,
        "samples": len(stream.label),
        "scored": len(stream.scored),
        "positives": positives,
        "learner": learner._asdict(),
        "salts": given.salts,
        "all_rows": of_all,
        "figures": [asdict(one) for one in figures],
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
