"""Two statements of one identity, one in the table and one that comes now: the higher generation stays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.lake.layout import IDENTITY

Mask = NDArray[np.bool_]


class Losers(NamedTuple):
    """Which rows go: of those that are ``there`` already, and of those that are ``new``."""

    there: Mask
    new: Mask


def losers(there: pa.Table, new: pa.Table) -> Losers:
    """Of each identity that is in both, the row that goes; where both are of one generation, that is the new one.

    Both tables have the columns of ``IDENTITY`` and ``generation``, and each identity at most once.
    """
    pairs = _numbered(new, "new").join(_numbered(there, "there"), keys=list(IDENTITY), join_type="inner")
    at = {name: np.asarray(pairs[name].to_numpy()) for name in pairs.schema.names if name not in IDENTITY}
    newer = at["generation_new"] > at["generation_there"]
    gone = Losers(np.zeros(len(there), np.bool_), np.zeros(len(new), np.bool_))
    gone.there[at["row_there"][newer]] = True
    gone.new[at["row_new"][~newer]] = True
    return gone


def _numbered(rows: pa.Table, suffix: str) -> pa.Table:
    keys = rows.select([*IDENTITY, "generation"]).rename_columns([*IDENTITY, f"generation_{suffix}"])
    return keys.append_column(f"row_{suffix}", pa.array(np.arange(len(rows))))
