"""At which rate negatives are to be kept, so that a budget is met: solved for a whole table, or for a stream so far.

A negative with the size s is kept with the probability min(1, rate * s). Both ways the rate is a monotone function of
the budget, or the rows of a smaller budget would not be among those of a larger one; and it takes nothing but
comparisons, and sums in a fixed order, so every machine finds the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_SHARE = 0.1
"""Of the budget of a stream that is the negatives' even where the positives fill all of it: a rate is above 0."""
FIRST_ROWS = 64
"""Of a stream, all kept: what the first rate is solved from. It is solved anew whenever the rows have doubled."""
REPAY_ROWS = 1 << 14
"""In which the rows that were kept of the first ones beyond the budget are saved again, by and by."""
SOLVE_ROWS = 4_096
"""Rows from one solution to the next at most."""
MEMORY_ROWS = 1 << 15
"""At so many remembered rows each counts half, so that the rate follows a stream that changes. Four times as many made
a budget of half of a week's log (taobao_815) fall short by 1 %, these by .5 %."""

_BINS_PER_OCTAVE_LOG2 = 5
_SHIFT = np.uint64(52 - _BINS_PER_OCTAVE_LOG2)
_LOWEST, _HIGHEST = 2.0**-10, 2.0**30
_FIRST_BITS = np.array([_LOWEST]).view(np.uint64)[0] >> _SHIFT


def exact_rate(ticket: Floats, wanted: int) -> float:
    """The rate at which exactly ``wanted`` negatives are kept (fewer where tickets are equal).

    Args:
        ticket: u / s of each negative, (n,), u uniform in [0, 1): it is kept if its ticket is below the rate.

    The rate is the ticket of the first that is not kept: given that, min(1, rate * s) is a keep rate with which inverse
    weights are unbiased (priority sampling: Duffield, Lund & Thorup, J. ACM 54(6), 2007, theorem 1).
    """
    return float(np.partition(ticket, wanted)[wanted]) if wanted < len(ticket) else np.inf


class StreamRate:
    """The rate for the next rows of a stream, from the sizes and labels of those before.

    It depends on no draw, so a row's keep rate is known before it is drawn. The sizes are remembered as counts in
    bins, of which 32 make an octave.

    Args:
        budget: share of all rows that is to be kept, in (0, 1].
    """

    def __init__(self, budget: float) -> None:
        self.value = np.inf
        self._budget = budget
        self._rows = self._positives = 0.0  # halved, like the counts: of powers of two, so without rounding
        self._counts = np.zeros(int(_bins(np.array([_HIGHEST]))[0]) + 1)
        self._next = FIRST_ROWS
        self._owed = float(FIRST_ROWS)  # first rows not yet saved again, each 1 - budget beyond the budget

    def pass_over(self, size: Floats, positive: NDArray[np.bool_]) -> Floats:
        """The rate of each of the next n rows, (n,), which are then rows before."""
        rates, at = np.empty(len(size)), 0
        while at < len(size):
            part = slice(at, at + self._next)
            rates[part] = self.value
            self._remember(size[part][~positive[part]], int(positive[part].sum()))
            done = len(size[part])
            at, self._next = at + done, self._next - done
            if not self._next:
                self._solve()
        return rates

    def _remember(self, negative: Floats, positives: int) -> None:
        self._rows += len(negative) + positives
        self._positives += positives
        self._counts += np.bincount(_bins(negative), minlength=len(self._counts))

    def _solve(self) -> None:
        self._next = min(int(self._rows), SOLVE_ROWS)
        repaid = self._owed * self._next / REPAY_ROWS
        self._owed -= repaid
        share = self._budget - repaid * (1.0 - self._budget) / self._next
        spare = max(share * self._rows - self._positives, LEAST_SHARE * self._budget * self._rows)
        self.value = _solved(self._counts, spare)
        if self._rows >= MEMORY_ROWS:
            self._rows, self._positives = self._rows / 2, self._positives / 2
            self._counts /= 2


def _bins(size: Floats) -> NDArray[np.intp]:
    """Number of the bin of each size, (n,): the bits of exponent and first binary places."""
    bits = np.clip(size, _LOWEST, _HIGHEST).view(np.uint64) >> _SHIFT
    return np.asarray(bits - _FIRST_BITS, np.intp)


def _middles(n: int) -> Floats:
    """The middle of each of the first ``n`` bins."""
    edges = (np.arange(n, dtype=np.uint64) + _FIRST_BITS) << _SHIFT
    return np.asarray((edges + (np.uint64(1) << (_SHIFT - np.uint64(1)))).view(np.float64))


def _solved(counts: Floats, wanted: float) -> float:
    """The rate at which ``wanted`` rows are expected of bins with these ``counts``; infinite where there are no more.

    As the rate falls, fewer bins are kept whole: first those are found, then the rate is a quotient.
    """
    middle = _middles(len(counts))
    below = np.concatenate([[0.0], np.cumsum(counts * middle)])  # in order: pairwise sums differ between machines
    whole = np.concatenate([np.cumsum(counts[::-1])[::-1], [0.0]])
    expected = below[:-1] / middle + whole[:-1]  # of rate 1 / middle
    first = int(np.count_nonzero(expected > wanted))
    spare, mass = wanted - whole[first], below[first]
    return float(spare / mass) if mass > 0 and spare < whole[0] - whole[first] else np.inf
