"""The fast path of decoding: flat JSON events, read in place in one pass, without an object per record.

It only ever says "this is that event" or "unsure". Whatever it does not recognise beyond doubt (escapes, text that is
not ASCII, exponents, nesting, repeated fields, anything wrong) is left to `sie_online.ingest.decoder`, which alone
judges what is valid. So a sure answer must equal what the decoder's parser would have said: that is tested.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online.contracts import EVENT_TYPES, LAST_MS, POSITION_MAX
from sie_online.hashing import hash_span
from sie_online.jit import kernel

IDS = ("event_id", "user_id", "item_id", "category_id", "session_id")
FIELDS = (
    *IDS,
    "event_type",
    "timestamp_ms",
    "position",
    "propensity",
    "price",
    "dwell_ms",
    "rating",
    "query",
    "attributes",
)
EVENT_ID, USER_ID, ITEM_ID, CATEGORY_ID, SESSION_ID = range(len(IDS))
EVENT_TYPE, TIMESTAMP, POSITION, PROPENSITY, PRICE, DWELL, RATING, QUERY, ATTRIBUTES = range(len(IDS), len(FIELDS))
UNKNOWN = len(FIELDS)
REQUIRED = 1 << EVENT_ID | 1 << USER_ID | 1 << ITEM_ID | 1 << EVENT_TYPE | 1 << TIMESTAMP

LONGEST_NAME = max(map(len, FIELDS))


def _spelled(names: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Names as rows of bytes; the first byte is the length."""
    table = np.zeros((len(names), 1 + LONGEST_NAME), np.uint8)
    for row, name in enumerate(names):
        table[row, : 1 + len(name)] = [len(name), *name.encode()]
    return table


FIELD_NAMES, TYPE_NAMES, WORDS = _spelled(FIELDS), _spelled(EVENT_TYPES), _spelled(("true", "false", "null"))
POWERS = tuple(10.0**places for places in range(19))
EXACT_DIGITS = 15
"""A decimal of so many digits is an integer below 2**53 over a power of ten, both exact: one division rounds it
correctly (Clinger, PLDI'90)."""
INTEGER_DIGITS = 18
"""So many always fit an int64."""

QUOTE, BACKSLASH, OPEN, CLOSE, COLON, COMMA, MINUS, POINT, ZERO, NINE = map(ord, '"\\{}:,-.09')
NULL, EXPONENT = map(ord, "ne")
SPACE, TAB, LINE_FEED, CARRIAGE_RETURN, DELETE = 0x20, 0x09, 0x0A, 0x0D, 0x7F
TO_LOWER = 0x20


class ParserLimits(NamedTuple):
    """What is allowed, as the kernel takes it."""

    value_bytes: int
    id_bytes: int
    attributes: int
    earliest_ms: int
    future_ms: int


class Number(NamedTuple):
    """A decimal at a place in the text: ``digits / 10**places``; ``end`` is -1 where there is none to be sure of."""

    end: int
    digits: int
    n_digits: int
    places: int
    negative: bool


@kernel
def parse(
    limits: ParserLimits, buffer: Any, values: Any, keys: Any, stamps_ms: Any, columns: Any, spans: Any, sure: Any
) -> None:
    """Read every record of a batch.

    Args:
        limits: what is allowed.
        buffer: uint8, all values and keys.
        values, keys: int64 of shape (n, 2), spans in ``buffer``; (-1, -1) is null.
        stamps_ms: int64 of shape (n,), Kafka's timestamps.
        columns: n records of dtype ``EVENT``, written where sure, except ``offset``.
        spans: int64 of shape (n, len(IDS), 2), written where sure: the ids' text in ``buffer``, empty where absent.
        sure: bool of shape (n,), written.
    """
    for row in range(columns.shape[0]):
        first, last = values[row, 0], values[row, 1]
        event, ids = columns[row], spans[row]
        sure[row] = (
            first >= 0
            and last - first <= limits.value_bytes
            and _parse(limits, buffer, first, last, event, ids)
            and _is_allowed(limits, event, ids, stamps_ms[row])
            and _is_same(buffer, keys[row, 0], keys[row, 1], ids[USER_ID, 0], ids[USER_ID, 1])
        )


@kernel
def _is_allowed(limits: ParserLimits, event: Any, ids: Any, stamp_ms: int) -> bool:
    for which in range(SESSION_ID):
        size = ids[which, 1] - ids[which, 0]
        if size > limits.id_bytes or (size == 0 and which != CATEGORY_ID):
            return False
    return bool(limits.earliest_ms <= event.time_ms <= LAST_MS and event.time_ms <= stamp_ms + limits.future_ms)


@kernel
def _is_same(buffer: Any, first: int, last: int, other: int, other_last: int) -> bool:
    if first < 0 or last - first != other_last - other:
        return False
    step = 0
    while first + step < last and buffer[first + step] == buffer[other + step]:
        step += 1
    return first + step == last


@kernel
def _parse(limits: ParserLimits, buffer: Any, at: int, last: int, event: Any, ids: Any) -> bool:
    """Read one object that fills ``buffer[at:last]``, but for blanks around it."""
    event.position = event.propensity = event.price = event.dwell_ms = event.rating = np.nan
    ids[:] = 0
    at = _blank(buffer, at, last)
    if at >= last or buffer[at] != OPEN:
        return False
    seen = 0
    while True:
        name = _blank(buffer, at + 1, last)
        end = _text_end(buffer, name, last)
        if end < 0:
            return False
        at = _after_colon(buffer, end, last)
        if at < 0:
            return False
        field = _find(FIELD_NAMES, buffer, name + 1, end - 1)
        if field != UNKNOWN and (seen >> field) & 1:
            return False
        seen |= 1 << field
        at = _read(limits, buffer, field, at, last, event, ids)
        if at < 0:
            return False
        at = _blank(buffer, at, last)
        if at >= last:
            return False
        if buffer[at] != COMMA:
            closed = buffer[at] == CLOSE and _blank(buffer, at + 1, last) == last
            return bool(closed and seen & REQUIRED == REQUIRED)


@kernel
def _read(limits: ParserLimits, buffer: Any, field: int, at: int, last: int, event: Any, ids: Any) -> int:
    """Read the value of ``field`` at ``at``; the place after it, or -1."""
    end = _word_end(buffer, at, last)
    if end > 0:
        # A field we do not know may be any word. One that may be absent may be null, which says the same.
        is_null = buffer[at] == NULL
        return end if field == UNKNOWN or (is_null and not (REQUIRED >> field) & 1) else -1
    if field <= SESSION_ID:
        return _read_id(buffer, at, last, ids[field])
    if field == EVENT_TYPE:
        end = _text_end(buffer, at, last)
        if end > 0:
            event.etype = _find(TYPE_NAMES, buffer, at + 1, end - 1)
        return end if end > 0 and event.etype < TYPE_NAMES.shape[0] else -1
    if field in (TIMESTAMP, POSITION):
        return _read_integer(buffer, field, at, last, event)
    if field < QUERY:
        return _read_number(buffer, field, at, last, event)
    if field == ATTRIBUTES:
        return _skip_attributes(limits, buffer, at, last)
    if buffer[at] == QUOTE or field == QUERY:
        return _text_end(buffer, at, last)
    return _number(buffer, at, last).end


@kernel
def _read_id(buffer: Any, at: int, last: int, span: Any) -> int:
    """Text, or an integer, whose decimal text is the id."""
    if buffer[at] == QUOTE:
        end = _text_end(buffer, at, last)
        span[0], span[1] = at + 1, end - 1
        return end
    number = _number(buffer, at, last)
    span[0], span[1] = at, number.end
    return number.end if number.places == 0 else -1


@kernel
def _read_integer(buffer: Any, field: int, at: int, last: int, event: Any) -> int:
    number = _number(buffer, at, last)
    if number.end < 0 or number.places > 0 or number.negative:
        return -1
    if field == TIMESTAMP:
        event.time_ms = number.digits
    elif number.digits > POSITION_MAX:
        return -1
    else:
        event.position = number.digits
    return number.end


@kernel
def _read_number(buffer: Any, field: int, at: int, last: int, event: Any) -> int:
    number = _number(buffer, at, last)
    if number.end < 0 or number.n_digits > EXACT_DIGITS or (number.negative and field != RATING):
        return -1
    value = number.digits / POWERS[number.places]
    if field == PROPENSITY:
        if not 0.0 < value <= 1.0:
            return -1
        event.propensity = value
    elif field == PRICE:
        event.price = value
    elif field == DWELL:
        event.dwell_ms = value
    else:
        event.rating = -value if number.negative else value
    return number.end


@kernel
def _skip_attributes(limits: ParserLimits, buffer: Any, at: int, last: int) -> int:
    """A flat map of texts, numbers, booleans and nulls; -1 also if there are too many."""
    if buffer[at] != OPEN:
        return -1
    count = 0
    at = _blank(buffer, at + 1, last)
    if at < last and buffer[at] == CLOSE:
        return at + 1
    while True:
        end = _text_end(buffer, at, last)
        if end < 0:
            return -1
        at = _after_colon(buffer, end, last)
        if at < 0:
            return -1
        end = _word_end(buffer, at, last)
        if end < 0:
            end = _text_end(buffer, at, last) if buffer[at] == QUOTE else _number(buffer, at, last).end
        count += 1
        if end < 0 or count > limits.attributes:
            return -1
        at = _blank(buffer, end, last)
        if at >= last:
            return -1
        if buffer[at] != COMMA:
            return at + 1 if buffer[at] == CLOSE else -1
        at = _blank(buffer, at + 1, last)


# -- tokens


@kernel
def _blank(buffer: Any, at: int, last: int) -> int:
    """The first place from ``at`` on that is not white."""
    while at < last and (
        buffer[at] == SPACE or buffer[at] == TAB or buffer[at] == LINE_FEED or buffer[at] == CARRIAGE_RETURN
    ):
        at += 1
    return at


@kernel
def _after_colon(buffer: Any, at: int, last: int) -> int:
    """The place of the value after a colon that follows ``at``, or -1."""
    at = _blank(buffer, at, last)
    if at >= last or buffer[at] != COLON:
        return -1
    at = _blank(buffer, at + 1, last)
    return at if at < last else -1


@kernel
def _text_end(buffer: Any, at: int, last: int) -> int:
    """The place after the closing quote of a text of plain ASCII that begins with a quote at ``at``, or -1."""
    if at >= last or buffer[at] != QUOTE:
        return -1
    for place in range(at + 1, last):
        byte = buffer[place]
        if byte == QUOTE:
            return place + 1
        if byte < SPACE or byte >= DELETE or byte == BACKSLASH:
            return -1
    return -1


@kernel
def _word_end(buffer: Any, at: int, last: int) -> int:
    """The place after ``true``, ``false`` or ``null`` at ``at``, or -1."""
    for row in range(WORDS.shape[0]):
        end = at + np.int64(WORDS[row, 0])
        if end <= last and buffer[at] == WORDS[row, 1] and _is_spelled(WORDS, row, buffer, at):
            return int(end)
    return -1


@kernel
def _number(buffer: Any, at: int, last: int) -> Number:
    """The decimal at ``at``: JSON's grammar without exponents, at most ``INTEGER_DIGITS`` digits, no minus zero."""
    negative = buffer[at] == MINUS
    if negative:
        at += 1
    first, digits, places, point = at, 0, 0, -1
    while at < last and (ZERO <= buffer[at] <= NINE or (buffer[at] == POINT and point < 0)):
        if buffer[at] == POINT:
            point = at
        elif at - first <= INTEGER_DIGITS:
            digits = 10 * digits + buffer[at] - ZERO
        at += 1
    n_digits = at - first if point < 0 else at - first - 1
    whole = point - first if point >= 0 else n_digits
    if point >= 0:
        places = at - point - 1
    is_number = (
        whole > 0
        and n_digits <= INTEGER_DIGITS
        and (point < 0 or places > 0)
        and (whole == 1 or buffer[first] != ZERO)
        and not (negative and digits == 0)
        and not (at < last and (buffer[at] | TO_LOWER) == EXPONENT)
    )
    return Number(at if is_number else -1, digits, n_digits, places, negative)


@kernel
def _find(names: Any, buffer: Any, first: int, last: int) -> int:
    """Row of ``names`` (see `_spelled`) that ``buffer[first:last]`` spells; their number if none."""
    for row in range(names.shape[0]):
        if names[row, 0] == last - first and _is_spelled(names, row, buffer, first):
            return row
    return int(names.shape[0])


@kernel
def _is_spelled(names: Any, row: int, buffer: Any, at: int) -> bool:
    size, step = np.int64(names[row, 0]), 0
    while step < size and names[row, 1 + step] == buffer[at + step]:
        step += 1
    return bool(step == size)


@kernel
def hash_ids(buffer: Any, spans: Any, columns: Any) -> None:
    """Write the ids' keys to ``columns``, 0 for an absent id.

    Args:
        buffer: uint8, where the ids are.
        spans: int64 of shape (n, len(IDS), 2).
        columns: n records of dtype ``EVENT``.
    """
    for row in range(columns.shape[0]):
        event, ids = columns[row], spans[row]
        event.event_key = _key(buffer, ids[EVENT_ID])
        event.user_key = _key(buffer, ids[USER_ID])
        event.item_key = _key(buffer, ids[ITEM_ID])
        event.category_key = _key(buffer, ids[CATEGORY_ID])
        event.session_key = _key(buffer, ids[SESSION_ID])


@kernel
def _key(buffer: Any, span: Any) -> Any:
    return hash_span(buffer, span[0], span[1]) if span[1] > span[0] else np.uint64(0)


@kernel
def gather(buffer: Any, spans: Any, offsets: Any, data: Any) -> None:
    """Lay texts out one after the other.

    Args:
        buffer: uint8, where the texts are.
        spans: int64 of shape (n, 2).
        offsets: int32 of shape (n + 1,), where each begins in ``data``.
        data: uint8, written.
    """
    for row in range(spans.shape[0]):
        first, to = spans[row, 0], offsets[row]
        for step in range(offsets[row + 1] - to):
            data[to + step] = buffer[first + step]
