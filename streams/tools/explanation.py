"""What is said of an event's weight: each part's share of it, and all its revisions, as one document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sie_online.client.rows import WeightRow
from streams.tools.influence import Influence


def shares(row: WeightRow) -> dict[str, float]:
    """Each part's share of the weight: |part| over the sum of all |parts| of log weight; zeros where all are zero."""
    total = sum(abs(part) for part in row.factors.values())
    return {name: abs(part) / total if total else 0.0 for name, part in row.factors.items()}


def document(revisions: Sequence[WeightRow], found: Influence | str) -> dict[str, Any]:
    """The newest of the ``revisions`` of one event with its parts, what moved the net's f(x) (or the sentence that says
    why that is not known), and all revisions, oldest first. JSON-able.
    """
    newest = revisions[-1]
    parts = shares(newest)
    return {
        **newest._asdict(),
        "factors": {
            name: {"log": part, "multiplier": math.exp(part), "share": parts[name]}
            for name, part in newest.factors.items()
        },
        "influence": None if isinstance(found, str) else asdict(found),
        "influence_unknown": found if isinstance(found, str) else None,
        "revisions": [row._asdict() for row in revisions],
    }
