"""What a subscriber sees of the stream, held against the truth that only the generator knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online.metrics import auc

KIND_TYPES = {"bots": "view", "brushing": "purchase", "misclick": "view"}
"""Kinds of noise, each judged among the events of its own type: views by bots among views, and so on."""
HEADLINE = ("bots", "brushing")
SAID = pa.array(["impression", "view", "click", "purchase"])
"""Event types that a net has a say in: samples and conversions."""
HISTOGRAM_EDGES = np.array([0, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.1, 1.4, 2, 3, 5, np.inf])
HISTOGRAM_LABELS = [f"{low:g}–{high:g}" if high < np.inf else f"> {low:g}" for low, high in pairwise(HISTOGRAM_EDGES)]


def in_words(found: Mapping[str, float | None]) -> str:
    """AUC by kind of noise on one line; empty where nothing can be said yet."""
    return ", ".join(f"{kind} {value:.3f}" for kind, value in found.items() if value is not None)


class Observer:
    """Takes batches of weights as they are published. Columns are by place of the event in the truth table.

    ``weight``, ``noise``, ``log_influence`` (the net's factor; NaN also for what a net has no say in) and ``version``
    (of the model) are those of revision 0 (NaN, "": not seen yet), ``label`` the final one (NaN: none).
    ``weighted`` counts revisions 0, events unknown to the generator included.
    """

    def __init__(self, truth: pa.Table) -> None:
        n = len(truth)
        self._ids = truth["event_id"].combine_chunks()
        self._kind = np.array(truth["kind"].to_pylist())
        self._type = np.array(truth["event_type"].to_pylist())
        self.weight, self.noise, self.label, self.log_influence = (np.full(n, np.nan) for _ in range(4))
        self.version = np.full(n, "", object)
        self.weighted = 0
        self.final = 0

    def take(self, batch: pa.RecordBatch) -> None:
        """Note what ``batch`` (columns of ``sie.weights.v1``) says."""
        place = pc.index_in(batch.column("event_id"), self._ids)
        known = place.is_valid().to_numpy(zero_copy_only=False)
        at = place.fill_null(0).to_numpy(zero_copy_only=False)
        first = batch.column("revision").to_numpy(zero_copy_only=False) == 0
        final = batch.column("final").to_numpy(zero_copy_only=False)
        self.weighted += int(first.sum())
        self.final += int(final.sum())
        for column, name in ((self.weight, "weight"), (self.noise, "noise_probability")):
            column[at[first & known]] = batch.column(name).to_numpy(zero_copy_only=False)[first & known]
        has_say = first & known & pc.is_in(batch.column("event_type").cast(pa.string()), SAID).to_numpy(False)
        self.log_influence[at[has_say]] = batch.column("f_influence").to_numpy(zero_copy_only=False)[has_say]
        self.version[at[first & known]] = np.array(batch.column("model_version").to_pylist(), object)[first & known]
        label = batch.column("label").cast(pa.float64()).to_numpy(zero_copy_only=False)
        self.label[at[final & known]] = label[final & known]

    def histogram(self) -> NDArray[np.int64]:
        """Weights at first statement, counted between ``HISTOGRAM_EDGES``."""
        seen = self.weight[~np.isnan(self.weight)]
        counts: NDArray[np.int64] = np.histogram(seen, HISTOGRAM_EDGES)[0]
        return counts

    def found(self, *kinds: str) -> float | None:
        """AUC of noise_probability: noise of ``kinds`` against clean events of the same types, as seen so far."""
        noisy, compared = np.zeros(len(self._kind), np.bool_), np.zeros(len(self._kind), np.bool_)
        for kind in kinds:
            same_type = self._type == KIND_TYPES[kind]
            noisy |= same_type & (self._kind == kind)
            compared |= same_type & ((self._kind == kind) | (self._kind == "clean"))
        compared &= ~np.isnan(self.noise)
        value = auc(noisy[compared], self.noise[compared])
        return None if math.isnan(value) else value

    def found_by_kind(self) -> dict[str, float | None]:
        """``found`` for each kind."""
        return {kind: self.found(kind) for kind in KIND_TYPES}
