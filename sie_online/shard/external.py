"""The event loop with a River classifier in the recommender's place: one event at a time, in Python in between.

The same kernel does everything else. The classifier learns every sample at once as a negative and, when the
conversion arrives, as a positive, without taking the negative back.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from sie_online.features import as_dict
from sie_online.importance.factor import NEGATIVE, POSITIVE
from sie_online.recommender.plugin import RiverRecommender
from sie_online.settings import Recommender
from sie_online.shard.lookup import PairScore
from sie_online.shard.loop import Texts, features_of, run
from sie_online.shard.output import DONE, Out
from sie_online.shard.patches import Piece
from sie_online.shard.snapshot import EXTRA
from sie_online.shard.state import Config, Scratch, State

PIECE = f"{EXTRA}/classifier"


class External:
    """Two twins of the classifier that ``settings.classifier`` names, and the loop around them."""

    def __init__(self, settings: Recommender) -> None:
        self._twins = RiverRecommender(settings.classifier, settings.seed)

    def pieces(self) -> dict[str, bytes]:
        """The classifiers, to be saved beside the shard's own pieces (pickled: for the local store only)."""
        return {PIECE: pickle.dumps(self._twins)}

    def restore(self, pieces: Mapping[str, Piece]) -> None:
        """Go on with the classifiers that ``pieces`` holds."""
        self._twins = pickle.loads(pieces[PIECE])  # noqa: S301  # our own checkpoint, verified by its checksum

    def run(self, cfg: Config, state: State, events: Any, texts: Texts, start: int, out: Out) -> int:
        """As ``sie_online.shard.loop.run``."""
        control = out.control[0]
        at = start
        while at < len(events):
            if features_of(cfg, state, events[at]):
                state.scratch.external[:] = self._twins.predict(as_dict(state.scratch.features, state.scratch.dense))
            first_row = int(control["rows"])
            stopped = int(run(cfg, state, events[: at + 1], texts, at, out))
            self._learn(state, out, first_row)
            if stopped == at:
                return at
            at = stopped
        control["stop"] = DONE
        return at

    def rescored(self, found: PairScore, scratch: Scratch) -> PairScore:
        """``found`` with the classifier's probability of the features in ``scratch``."""
        uniform, weighted = self._twins.predict(as_dict(scratch.features, scratch.dense))
        return found._replace(probability=(1.0 - found.strength) * uniform + found.strength * weighted)

    def _learn(self, state: State, out: Out, first_row: int) -> None:
        """Learn from the statements since row ``first_row`` that say something new of a label."""
        for row in out.rows[first_row : int(out.control["rows"][0])]:
            if row["view"] < 0 or row["final"]:
                continue
            cold = state.views.cold[row["view"] % len(state.views.hot)]
            label = NEGATIVE if row["revision"] == 0 else int(row["label"])
            weight = float(cold["learn_weight"] if row["revision"] == 0 else row["weight"])
            self._twins.learn(as_dict(cold["features"], cold["dense"]), label == POSITIVE, weight)
