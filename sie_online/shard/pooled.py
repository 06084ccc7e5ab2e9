"""What the other shards have learned and a shard's recommender holds: put in, replaced, taken out, saved.

The coefficients themselves are the shard's tables and are saved with them. Which part of them came from others must be
known too, or newer gains could not take the place of older ones: it is a piece of its own, the artifact is not needed
again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache

import numpy as np

from sie_online.features import FACTOR_COLUMNS, N_FEATURES, FeatureConfig
from sie_online.recommender.kernels import RecommenderArrays, RecommenderConfig, new_model
from sie_online.recommender.pooling import TABLES, Gain, Gains, gains_of, replace
from sie_online.settings import Settings
from sie_online.shard.patches import Piece, Table, apply, raw
from sie_online.shard.snapshot import EXTRA

PIECE = f"{EXTRA}/others"


def initial_recommender(settings: Settings) -> RecommenderArrays:
    """The recommender of a shard that has seen nothing; not to be changed."""
    return _initial_recommender(settings.recommender.seed)


@cache
def _initial_recommender(seed: int) -> RecommenderArrays:
    return new_model(RecommenderConfig(), N_FEATURES, FACTOR_COLUMNS, dim=FeatureConfig().dim, seed=seed)


class PooledCoefficients:
    """The gains of others in one shard's recommender; None while there are none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._others: Gains | None = None
        self._piece = b""

    def put(self, model: RecommenderArrays, others: Gains | None) -> None:
        """Replace what ``model`` holds of others by ``others``, in place."""
        replace(model, self._start, self._others, others)
        self._others = others and others._replace(neighbourhoods=None)  # those are the ranking's
        self._piece = b"" if others is None else _packed(others)

    def own(self, model: RecommenderArrays) -> Gains:
        """What the shard has learned itself."""
        return gains_of(model, self._start, self._others)

    def pieces(self) -> dict[str, bytes]:
        """What is to be saved beside the shard's own pieces."""
        return {PIECE: self._piece} if self._piece else {}

    def restore(self, pieces: Mapping[str, Piece]) -> None:
        """Go on with what ``pieces`` say; the coefficients are restored with the state."""
        if PIECE in pieces:
            self._piece = bytes(pieces[PIECE])
            self._others = _unpacked(self._piece)

    @property
    def _start(self) -> RecommenderArrays:
        return initial_recommender(self._settings)


def is_learned(piece: str) -> bool:
    """Whether ``own_gains`` needs the piece of this name."""
    return piece == PIECE or piece.rpartition("/")[0] in {f"model.{table}" for table in TABLES}


def own_gains(start: RecommenderArrays, pieces: Mapping[str, Piece]) -> Gains:
    """What the shard had learned itself whose snapshot has ``pieces``; those that ``is_learned`` names suffice.

    Raises:
        CheckpointError: a piece is missing or does not fit.
    """
    learned = start._replace(**{table: getattr(start, table).copy() for table in TABLES})
    for table in TABLES:
        name, data = f"model.{table}", getattr(learned, table)
        patches = {int(each.rpartition("/")[2]): pieces[each] for each in pieces if each.startswith(f"{name}/")}
        apply(Table(name, raw(data), 0, len(data), sparse=True), patches)
    return gains_of(learned, start, _unpacked(bytes(pieces[PIECE])) if PIECE in pieces else None)


def _packed(gains: Gains) -> bytes:
    file = io.BytesIO()
    np.savez(file, *gains.linear, *gains.factors)
    return file.getvalue()


def _unpacked(data: bytes) -> Gains:
    with np.load(io.BytesIO(data), allow_pickle=False) as saved:
        arrays = [saved[name] for name in saved.files]
    return Gains(Gain(*arrays[:2]), Gain(*arrays[2:]))
