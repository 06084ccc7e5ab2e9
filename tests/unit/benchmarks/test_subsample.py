"""The benchmark of subsampling: it predicts before it learns, and learns what it is told to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.benchmarks.subsample import Learner, Stream, lessons, lines, measure
from tests.support.samples import samples_table

N = 1_500
DELAY_MS = 60_000
LEARNER = Learner(0.05, 1.0)


def stream(label: np.ndarray | None = None) -> Stream:
    """Views, one a second, each settled after a minute."""
    settled = 1_500_000_000_000 + 1_000 * np.arange(N) + DELAY_MS
    table = samples_table(N, settled_ms=settled, **({} if label is None else {"label": label}))
    return Stream(table, window_ms=0)


def test_a_label_moves_no_prediction_before_it_has_settled() -> None:
    first = stream()
    from_row = 900
    label = first.label.copy()
    label[from_row:] = 1 - label[from_row:]
    before, after = (each.of_all(LEARNER) for each in (first, stream(label)))
    known_from = from_row + DELAY_MS // 1_000
    assert (before[: known_from - 1] == after[: known_from - 1]).all()
    assert (before[known_from + 1 :] != after[known_from + 1 :]).any()


def test_only_the_rows_of_a_lesson_are_learned() -> None:
    one = stream()
    taught = one.predictions(LEARNER, np.arange(0), np.zeros(0), np.ones(0))
    assert len(set(taught.tolist())) == 1
    some = lessons(one.samples, 0.4, 0)["subsample"]
    label = one.label.copy()
    left = np.setdiff1d(np.arange(N), some.rows)
    label[left] = 1 - label[left]
    other = stream(label)
    other.begin = one.begin
    assert (one.predictions(LEARNER, *some) == other.predictions(LEARNER, *some)).all()


def test_methods_keep_what_they_say() -> None:
    found = lessons(stream().samples, 0.4, 3)
    rows = {name: set(lesson.rows.tolist()) for name, lesson in found.items()}
    assert len(rows["subsample"]) == round(0.4 * N)
    assert rows["inverse weighting"] == rows["subsample"]
    inverse, corrected = found["inverse weighting"], found["subsample"]
    assert (inverse.correction == 0).all()
    assert (corrected.weight == 1).all()
    negative = stream().label[inverse.rows] == 0
    assert np.log(inverse.weight[negative]) == pytest.approx(corrected.correction[negative])
    assert (inverse.weight[~negative] == 1).all()
    assert len(set(found["negatives alike"].correction.tolist())) == 1
    positives = set(np.flatnonzero(stream().label).tolist())
    for name in rows.keys() - {"uniform thinning"}:
        assert positives <= rows[name]
    assert not positives <= rows["uniform thinning"]


def test_every_method_has_its_line_at_every_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.subsample.BUDGETS", (0.5, 0.4))
    of_all, figures = measure(stream(), LEARNER, 2)
    assert len(figures) == 2 * len(lessons(stream().samples, 0.4, 0))
    assert all(math.isfinite(value) for one in figures for value in (*one.auc, *one.nll, *one.calibration))
    assert len(list(lines(of_all, figures))) == 3 + len(figures)
