"""Examples of noise and of what is none: rows of evidence with their origin.

Owns how much each counts. A *group* is one behaviour of one mixture, or the ordinary events of one mixture. Within a
head, noise and the rest weigh the same, and groups of a kind weigh about the same: how many events a behaviour has
says nothing about how likely the next shop is to meet it. Imports numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import ExamplesError
from sie_online.contracts import NOISE_HEADS

N_HEADS = len(NOISE_HEADS)
FULL_GROUP = 25
"""Events in a head from which on a group weighs as much as any other; fewer are too few to know it by."""
LEAST_GROUPS = 5
"""A kind with fewer groups is held out by rows: leaving whole ones out would leave too little."""
ORDINARY, INNOCENT, NOISE = range(3)
KIND_SHARES = (0.35, 0.15, 0.5)
"""Of a sample: ordinary, innocent, noise. Ordinary ones are many groups in one, and need more rows."""


class Examples(NamedTuple):
    """n rows, sampled from many mixtures."""

    evidence: NDArray[np.float32]  # (n, N) standardised and clipped
    head: NDArray[np.int8]  # (n,) index into NOISE_HEADS
    events: NDArray[np.float32]  # (n,) the account's events so far, this one included
    noise: NDArray[np.bool_]  # (n,) from a polluting behaviour
    innocent: NDArray[np.bool_]  # (n,) from an innocent one
    group: NDArray[np.int64]  # (n,) which behaviour of which mixture, or which mixture's ordinary events

    def take(self, rows: NDArray[Any]) -> Examples:
        """Those of ``rows``: indices, or a mask."""
        return Examples(*(column[rows] for column in self))


def joined(parts: Sequence[Examples]) -> Examples:
    """All of them; groups of different parts must have different numbers."""
    return Examples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def kinds(noise: NDArray[np.bool_], innocent: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`ORDINARY`, `INNOCENT` or `NOISE` of every row.

    Raises:
        ExamplesError: a row is of a polluting behaviour and of an innocent one.
    """
    if (noise & innocent).any():
        raise ExamplesError("an example cannot be noise and innocent at once")
    return np.where(noise, NOISE, np.where(innocent, INNOCENT, ORDINARY)).astype(np.int64)


def weights(
    head: NDArray[np.int8],
    noise: NDArray[np.bool_],
    innocent: NDArray[np.bool_],
    group: NDArray[np.int64],
    innocent_share: float,
) -> NDArray[np.float64]:
    """How much each row counts, (n,), sum 1: the same for every head, one half of it noise.

    A head without noise, or with nothing else, teaches nothing: its rows weigh 0.

    Raises:
        ExamplesError: that goes for every head.
    """
    kind, found = kinds(noise, innocent), np.zeros(len(head))
    for number in range(N_HEADS):
        rows = np.flatnonzero(head == number)
        if len(np.unique(noise[rows])) == 2:
            found[rows] = _balanced(kind[rows], group[rows], innocent_share)
    if not found.any():
        raise ExamplesError(
            f"{len(head)} examples, {int(noise.sum())} of them noise, and no head has both noise and others: "
            "nothing can be learned from them"
        )
    return np.asarray(found / found.sum())


def held_out(examples: Examples, share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows are kept from training: about ``share`` of the groups of each kind, whole."""
    rng, kind = np.random.default_rng(seed), kinds(examples.noise, examples.innocent)
    found = np.zeros(len(kind), np.bool_)
    for which in (ORDINARY, INNOCENT, NOISE):
        rows = np.flatnonzero(kind == which)
        groups = np.unique(examples.group[rows])
        if len(groups) < LEAST_GROUPS:
            found[rows] = rng.random(len(rows)) < share
        else:
            kept = rng.permutation(groups)[: max(1, round(share * len(groups)))]
            found[rows] = np.isin(examples.group[rows], kept)
    return found


def sampled(examples: Examples, rows: int, seed: int) -> Examples:
    """At most about ``rows`` of them, as `sampled_rows` draws them."""
    return examples.take(sampled_rows(examples, rows, seed))


def sampled_rows(examples: Examples, rows: int, seed: int) -> NDArray[np.int64]:
    """Indices, ascending, of a sample in which no group crowds out another.

    Each kind gets its share of ``rows`` (what it cannot use goes to the others), divided equally among its groups and
    their heads; a group with fewer gives all it has.
    """
    kind = kinds(examples.noise, examples.innocent)
    n_kind = np.bincount(kind, minlength=len(KIND_SHARES))
    quota = _filled(n_kind, rows, np.array(KIND_SHARES))
    cell = examples.group * N_HEADS + examples.head
    rng, found = np.random.default_rng(seed), []
    for which, budget in enumerate(quota):
        of_kind = np.flatnonzero(kind == which)
        shuffled = rng.permutation(of_kind)
        order = shuffled[np.argsort(cell[shuffled], kind="stable")]
        _, first, count = np.unique(cell[order], return_index=True, return_counts=True)
        place = np.arange(len(order)) - np.repeat(first, count)
        allowed = np.floor(_filled(count, budget, np.ones(len(count)))).astype(np.int64)
        found.append(order[place < np.repeat(allowed, count)])
    return np.sort(np.concatenate(found))


def _filled(available: NDArray[np.int64], total: float, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """``total`` divided by ``share``, nowhere more than is ``available``; what is left over goes to the others."""
    found, open_ = np.zeros(len(available)), available > 0
    left = float(total)
    while open_.any():
        offer = left * share * open_ / share[open_].sum()
        full = open_ & (available <= offer)
        if not full.any():
            return np.asarray(found + offer)
        found[full] = available[full]
        left -= float(available[full].sum())
        open_ = open_ & ~full
    return found


def _balanced(kind: NDArray[np.int64], group: NDArray[np.int64], innocent_share: float) -> NDArray[np.float64]:
    """Weights of one head's rows, sum 1."""
    _, which, count = np.unique(group * len(KIND_SHARES) + kind, return_inverse=True, return_counts=True)
    each: NDArray[np.float64] = 1.0 / np.maximum(count, FULL_GROUP)[which]
    share = {NOISE: 0.5, INNOCENT: innocent_share / 2, ORDINARY: (1 - innocent_share) / 2}
    if not (kind == INNOCENT).any() or not (kind == ORDINARY).any():
        share[INNOCENT] = share[ORDINARY] = 0.5
    for one, mass in share.items():
        rows = kind == one
        if rows.any():
            each[rows] *= mass / each[rows].sum()
    return each
