"""From rows to matrices of layout 2 (`sie_online.packing`): the kernels of rendering.

What is published is rounded here, for every reader alike: scores, weight and factors to float32 (a relative 6e-8), and
parts of log weight below `DUST` to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.contracts import FACTORS
from sie_online.importance.weight import NORMALISER
from sie_online.jit import kernel
from sie_online.packing import FINAL, LABEL_UNKNOWN

DUST = 2.0**-30
"""A part of log weight that is less is what floating-point arithmetic left of nothing."""
SPAN = 1 << 31
"""Offsets and times are counted from the multiple of this below the least: most messages of a shard from the same."""

SURVEY = np.dtype(
    [
        ("offset", "i8"),
        ("time_ms", "i8"),
        ("least_delay_ms", "i8"),
        ("most_delay_ms", "i8"),
        ("fits", "i8"),
        ("revision", "i8"),
        ("factors", "i8", (len(FACTORS),)),
    ]
)
"""What a range of rows has in common: what offsets and event times are counted from, how soon after the event each
became known, whether 32 bits are enough for all that, the highest revision, and by factor whether any row has it.
"""


@kernel
def survey(rows: Any, first: int, last: int, found: Any) -> None:
    """Look through rows ``first`` to ``last``; ``found`` is a record of `SURVEY`."""
    found.offset = found.time_ms = found.least_delay_ms = found.most_delay_ms = found.revision = 0
    found.fits = 1
    for which in range(found.factors.shape[0]):
        found.factors[which] = 0
    if first == last:
        return
    offset = least_offset = rows[first].offset
    time_ms = least_ms = rows[first].event_time_ms
    least_delay = most_delay = rows[first].published_ms - time_ms
    for at in range(first, last):
        row = rows[at]
        offset, least_offset = max(offset, row.offset), min(least_offset, row.offset)
        time_ms, least_ms = max(time_ms, row.event_time_ms), min(least_ms, row.event_time_ms)
        delay = row.published_ms - row.event_time_ms
        least_delay, most_delay = min(least_delay, delay), max(most_delay, delay)
        found.revision = max(found.revision, row.revision)
        for which in range(found.factors.shape[0]):
            if which != NORMALISER and abs(row.factors[which]) >= DUST:
                found.factors[which] = 1
    found.offset, found.time_ms = least_offset // SPAN * SPAN, least_ms // SPAN * SPAN
    found.least_delay_ms, found.most_delay_ms = least_delay, most_delay
    if max(offset - found.offset, time_ms - found.time_ms) >= 2 * SPAN:
        found.fits = 0
    if least_delay != most_delay and (least_delay < 0 or most_delay >= 2 * SPAN):
        found.fits = 0


@kernel
def pack_rows(rows: Any, first: int, common: Any, whole: Any, codes: Any, numbers: Any) -> None:
    """Rows from ``first`` on as the matrices say; ``common`` is what `survey` found of them.

    ``whole`` (n, 2 or 3) uint32; ``codes`` (n, 4) uint8 of samples, (n, 6) of weights, whose ids' lengths are left to
    `pack_ids`; ``numbers`` (n, k) float32: scores, and the factors that any row has, but for the normaliser.
    """
    of_weights = codes.shape[1] > 4
    for at in range(whole.shape[0]):
        row = rows[first + at]
        whole[at, 0] = row.offset - common.offset
        whole[at, 1] = row.event_time_ms - common.time_ms
        if whole.shape[1] > 2:
            whole[at, 2] = row.published_ms - row.event_time_ms
        codes[at, 0], codes[at, 1], codes[at, 2] = row.etype, row.label, row.revision
        if row.label < 0:
            codes[at, 1] = LABEL_UNKNOWN
        numbers[at, 0], numbers[at, 1] = row.probability, row.feature_score
        numbers[at, 2], numbers[at, 3] = row.noise_probability, row.weight
        column = 4
        if of_weights:
            numbers[at, 4], column = row.uncertainty, 5
            if row.final != 0:
                codes[at, 1] += FINAL
        for which in range(common.factors.shape[0]):
            if common.factors[which] != 0:
                part = row.factors[which]
                numbers[at, column] = part if abs(part) >= DUST else 0.0
                column += 1


@kernel
def pack_ids(out: Any, first: int, codes: Any, text: Any) -> int:
    """The ids of rows from ``first`` on into ``text``, one behind the other: event's, user's, item's.

    ``codes`` gets how many bytes each has. Returns the longest one's.
    """
    to = longest = 0
    for at in range(codes.shape[0]):
        row = first + at
        for which in range(3):
            begun = to
            if which == 0:
                to = _append(out.event_at, out.event_ids, row, text, to)
            elif which == 1:
                to = _append(out.user_at, out.user_ids, row, text, to)
            else:
                to = _append(out.item_at, out.item_ids, row, text, to)
            codes[at, 3 + which] = to - begun
            longest = max(longest, to - begun)
    return int(longest)


@kernel
def take_ids(at: Any, ids: Any, settled: Any, ends: Any, text: Any) -> None:
    """The event ids of rows ``settled.row`` into ``text``; ``ends`` (n + 1,): where each begins, and the last ends."""
    to = 0
    ends[0] = 0
    for which in range(settled.shape[0]):
        to = _append(at, ids, settled[which].row, text, to)
        ends[which + 1] = to


@kernel
def _append(at: Any, ids: Any, row: int, text: Any, to: int) -> int:
    """Copy id ``row`` to ``text[to]``; where it ends there."""
    first, last = at[row], at[row + 1]
    for step in range(first, last):
        text[to + step - first] = ids[step]
    return int(to + last - first)
