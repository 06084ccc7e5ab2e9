"""Decoded logs for tests of what needs no ids: rows of dtype `EVENT`, from small codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import TYPE_CODES
from sie_online.hashing import hash_column
from sie_online.ingest.events import EVENT, Text

START_MS = 1_700_000_000_000
VIEW, CART, PURCHASE = (TYPE_CODES[name] for name in ("view", "cart", "purchase"))
Row = tuple[float, int, int, int, int]
"""Seconds since the start, event type, user, item, category."""


def keys_of(kind: str, codes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64-bit keys of small codes, as ids would be hashed."""
    text = Text.of([f"{kind}{code}".encode() for code in codes.tolist()])
    out = np.empty(len(codes), np.uint64)
    hash_column(text.offsets, text.data, out)
    return out


def log_of_rows(rows: Sequence[Row]) -> NDArray[np.void]:
    """The rows in order of time."""
    ordered = sorted(rows, key=lambda row: row[0])
    seconds = np.array([row[0] for row in ordered])
    codes = np.array([row[1:] for row in ordered], np.int64).reshape(-1, 4)
    columns = np.zeros(len(ordered), EVENT)
    for optional in ("position", "propensity", "price", "dwell_ms", "rating"):
        columns[optional] = np.nan
    columns["time_ms"] = START_MS + np.round(seconds * 1000).astype(np.int64)
    columns["etype"], columns["offset"] = codes[:, 0], np.arange(len(ordered))
    columns["event_key"] = 1 + np.arange(len(ordered))
    for place, kind in enumerate(("user", "item", "category"), start=1):
        columns[f"{kind}_key"] = keys_of(kind, codes[:, place])
    return columns


def browsing(seed: int, users: int = 120, days: float = 3.0, visits: int = 600) -> list[Row]:
    """People who browse by taste in sessions, return to items, and act on a few."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for _ in range(visits):
        user, at = int(users * rng.beta(1, 2)), float(rng.uniform(0, days * 86_400))
        seen: list[int] = []
        for _ in range(1 + rng.poisson(6)):
            again = seen and rng.random() < 0.25
            item = int(rng.choice(seen)) if again else 20 * int(40 * rng.beta(1, 3)) + (user * 7 + rng.integers(3)) % 20
            seen.append(item)
            rows.append((at, VIEW, user, item, item % 20))
            if rng.random() < 0.08:
                rows.append((at + 9, CART, user, item, item % 20))
            if rng.random() < 0.04:
                rows.append((at + float(rng.exponential(1_200)), PURCHASE, user, item, item % 20))
            at += float(rng.lognormal(3, 1))
    return rows
