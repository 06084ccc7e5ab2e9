"""Whose rows are to go, and how a table knows them: weights say a user's published id, samples the hash of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.lake.rivals import Mask


class Subject(Protocol):
    """A user, as `streams.tools.erase` has them."""

    @property
    def published_id(self) -> str:
        """As ``user_id`` of the weights has it: the pseudonym where there is a key."""

    @property
    def key(self) -> bytes:
        """Its 64-bit hash, the lowest byte first."""


class Users(NamedTuple):
    """The rows whose ``column`` is one of ``values`` are theirs."""

    column: str
    values: pa.Array

    @classmethod
    def of(cls, stream: str, subjects: Sequence[Subject]) -> Users:
        """In the table of ``stream`` (weights or samples)."""
        if stream == "samples":  # in the lake a hash is the signed number of the same bits
            return cls("user_hash", pa.array([int.from_bytes(each.key, "little", signed=True) for each in subjects]))
        return cls("user_id", pa.array([each.published_id for each in subjects], pa.string()))

    def own(self, rows: pa.Table) -> Mask:
        """Which of ``rows`` are theirs."""
        found = pc.is_in(rows[self.column].cast(self.values.type), value_set=self.values)
        return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


class Found(NamedTuple):
    """Rows of a table, and files of its folder."""

    rows: int = 0
    files: int = 0
