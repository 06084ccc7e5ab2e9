"""A tenth of the samples, and nearly all of what they teach: all positives are kept, negatives are thinned.

Owns which rows are kept, and the correction that belongs to each. Which negatives are is a matter of ids alone:

    u = (fmix64(hash(event_id) xor fmix64(salt)) >> 11) / 2^53,    kept if u / s < rate,    s = sqrt(probability)

with the hash of ``sie_online.text_hashes``. So the keep rate of a negative is pi_0 = min(1, rate * s), and every
machine keeps the same rows. Among kept rows the odds of a positive are too high by 1 / pi_0, whatever the features are:

    logit P(positive | x, kept) = logit P(positive | x) + log(pi_1 / pi_0(x)),    pi_1 = 1

The last term is the *correction*, 0 or above. The loss adds it to the model's logit, of positives and negatives alike,
so that the model's own logit is that of all samples; serving leaves it out. Sources: King & Zeng, Political Analysis
9(2), 2001 (prior correction); Fithian & Hastie, Annals of Statistics 42(5), 2014 (keep rates from a pilot model); Wang,
Zhang & Wang, NeurIPS 2021 (only negatives thinned, capped rates, and why the correction beats weights 1 / pi_0); He et
al., ADKDD 2014, section 6.3 (one rate for all negatives, corrected in serving instead).

Why the square root, and what it costs: docs/subsampling.md.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online.client.keep_rate import Floats, StreamRate, exact_rate
from sie_online.contracts import PROBABILITY_FLOOR
from sie_online.errors import UsageError
from sie_online.text_hashes import hash_texts, mix

CORRECTION = "log_odds_correction"
"""Column that is added: log(pi_1 / pi_0) in nats, float64."""
ID, LABEL, PROBABILITY, FINAL = "event_id", "label", "probability", "final"
LATER = frozenset({LABEL, "error", "weight", "noise_probability"})
"""Columns stated with the label, which a keep rate must not know: a fake order's weight falls with the order."""
LARGEST_SALT = (1 << 64) - 1

_DRAW = 2.0**-53
"""From one u to the next: a lower keep rate than that cannot be told from it."""

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def subsample(rows: Rows, budget: float, *, by: str | None = PROBABILITY, salt: int = 0) -> Rows:
    """All positives of ``rows`` and some of the negatives, ``budget`` of all rows together, in order.

    Their number is that share, rounded (fewer only where ids repeat). Rows kept at a smaller budget are among those
    kept at a larger one. The result has one more column, ``log_odds_correction``: add it to the logit in training, of
    positives and negatives alike, and leave it out in serving::

        kept = subsample(pq.read_table("samples.parquet"), 0.1)
        loss = binary_cross_entropy_with_logits(model(x) + correction, label, weight=weight)

    Args:
        rows: with ``event_id`` (text), ``label`` (a number, above 0: positive) and ``by``, none of them null. Of
            weights, the final ones alone: earlier statements bring a sample twice, or a label that is taken back.
        budget: share of the rows that is kept, in (0, 1]; more than are positive.
        by: a column that says before the label is known how much a negative teaches; it is kept in proportion to the
            square root, values below 1e-6 (``PROBABILITY_FLOOR``) counting as that. Not the weight, which is stated
            with the label. None: all negatives at one rate.
        salt: another number, another choice of rows; below 2^64.

    Raises:
        UsageError: a bad option, a column is missing or unfit, or the budget has no room for the positives.
    """
    check_options(budget, salt)
    positive, ticket, size = _seen(rows, by, salt)
    rate = exact_rate(ticket[~positive], _wanted(budget, positive))
    return _kept(rows, positive | (ticket < rate), rate * size)


class Subsampler:
    """``subsample`` of a stream, batch by batch: ``take`` what comes.

    The rate is solved again and again from the rows so far, and every row carries the correction of the rate that it
    met, so that training stays unbiased while rates move. The first 64 rows are all kept. Which rows are kept depends
    on the stream from its first row on, not on how it is cut into batches, and rows of a smaller budget are among those
    of a larger one. The share that is kept is the budget's only on average: n kept rows may be sqrt(n) more or fewer.
    It is more while ``by`` rises from one ten thousand rows to the next, and less while it falls: what was kept so far
    has no say, or smaller budgets would not keep subsets. Where more positives come than the budget has room for,
    negatives get a tenth of it on top.

    Takes the options of ``subsample``; raises ``UsageError`` for bad ones.

    Attributes:
        rows: taken so far.
        kept: of these.
    """

    def __init__(self, budget: float, *, by: str | None = PROBABILITY, salt: int = 0) -> None:
        check_options(budget, salt)
        self.rows = self.kept = 0
        self._by = by
        self._salt = salt
        self._rate = StreamRate(budget)

    def take(self, batch: Rows) -> Rows:
        """The rows of ``batch`` that are kept, with their corrections; maybe none.

        Raises:
            UsageError: a column is missing or unfit.
        """
        positive, ticket, size = _seen(batch, self._by, self._salt)
        rate = self._rate.pass_over(size, positive)
        kept = _kept(batch, positive | (ticket < rate), rate * size)
        self.rows += len(batch)
        self.kept += len(kept)
        return kept


def draws(ids: Any, salt: int = 0) -> Floats:
    """u of each id of an Arrow column of text, uniform in [0, 1), (n,)."""
    spice = mix(np.array([salt], np.uint64))
    return (mix(hash_texts(ids) ^ spice) >> np.uint64(11)).astype(np.float64) * _DRAW


def check_options(budget: float, salt: int = 0) -> None:
    """Raises ``UsageError`` where there is no such budget or salt."""
    if not _is_number(budget, Real) or not 0 < budget <= 1:
        raise UsageError(f"budget is {budget!r}: it is the share of all rows to keep, above 0 and at most 1, as in 0.1")
    if not _is_number(salt, Integral) or not 0 <= salt <= LARGEST_SALT:
        raise UsageError(f"salt is {salt!r}: it is a whole number from 0 to 2^64 - 1")


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _wanted(budget: float, positive: NDArray[np.bool_]) -> int:
    """Negatives that the budget has room for."""
    rows, positives = len(positive), int(positive.sum())
    if positives and positives < rows and round(budget * rows) <= positives:
        raise UsageError(
            f"a budget of {budget:g} is {round(budget * rows):,} of {rows:,} rows, and {positives:,} are positive and "
            f"all kept: it must be above {positives / rows:.4g} to leave room for negatives"
        )
    return max(0, round(budget * rows) - positives)


def _seen(rows: Any, by: str | None, salt: int) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Of each row whether it is positive, its ticket u / s and its size s, all (n,)."""
    if CORRECTION in rows.schema.names:
        raise UsageError(f"these rows have been subsampled already: they have a column {CORRECTION!r}")
    if by in LATER:
        raise UsageError(f"by is {by!r}, which is stated with the label: with such a keep rate the correction is wrong")
    _require_final(rows)
    positive = _numbers(rows, LABEL) > 0
    size = np.sqrt(np.maximum(_numbers(rows, by), PROBABILITY_FLOOR)) if by is not None else np.ones(len(rows))
    try:
        ticket = draws(_column(rows, ID), salt) / size
    except TypeError as error:
        raise UsageError(f"column {ID!r} cannot be hashed: {error}") from None
    return positive, ticket, size


def _require_final(rows: Any) -> None:
    at = rows.schema.get_field_index(FINAL)
    if at < 0 or not pa.types.is_boolean(rows.schema.field(at).type):
        return
    if earlier := len(rows) - (pc.sum(rows.column(at)).as_py() or 0):
        raise UsageError(
            f"{earlier:,} of {len(rows):,} rows are not final: their samples come again, maybe with another label. "
            f"Take the final ones, or samples"
        )


def _kept(rows: Any, mask: NDArray[np.bool_], keep_rate: Floats) -> Any:
    """The rows of ``mask``, with the corrections of their keep rates, which are capped at 1; both (n,)."""
    correction = np.log(1.0 / np.clip(keep_rate[mask], _DRAW, 1.0))
    field = pa.field(CORRECTION, pa.float64(), nullable=False)
    return rows.filter(pa.array(mask)).append_column(field, pa.array(correction))


def _column(rows: Any, name: str) -> Any:
    if rows.schema.get_field_index(name) < 0:
        raise UsageError(f"there is no column {name!r}; there are {', '.join(rows.schema.names)}")
    column = rows.column(name)
    if column.null_count:
        raise UsageError(
            f"column {name!r} has {column.null_count:,} nulls: subsample rows of samples, which have an id and a label "
            f"(of weights: those that are final and have a label)"
        )
    return column


def _numbers(rows: Any, name: str) -> Floats:
    column = _column(rows, name)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise UsageError(f"column {name!r} holds {kind}, not numbers")
    numbers = np.asarray(column).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise UsageError(f"column {name!r} has values that are not finite")
    return numbers
