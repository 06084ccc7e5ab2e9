"""A stream's clock: the time that its events agree on, so that no single clock among them moves everybody's.

The *agreed* time is the latest one that the last ``WITNESSES`` different users have all reached. An event is believed
if it claims to be no more than ``lead_ms`` later than that (or ``future_ms`` later than the latest heartbeat, which is
trusted), and no more than ``lead_ms`` earlier; a believed event moves the clock to its own time at once. One that
claims more is kept as its user's word and moves nothing: where the stream has really leapt, the next users say so
too, and the clock follows. Until a time is known at all (agreed, or told by a heartbeat), every event counts as it
claims and nothing is settled.

What a clock says depends on the order of events alone. It is one record of constant size, and taking the same event
in twice in a row is taking it in once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import ERASE_CODE, HEARTBEAT_CODE
from sie_online.jit import kernel
from sie_online.settings import Settings

WITNESSES = 3
"""Users that must agree: one phone, or two, may be wrong; after a real gap the third user is on time again."""
RECENT_EVENTS = 256
"""A user silent for so many events is no witness any more: a stream of one or two users has a clock, too."""
NOBODY = 1
"""Key of a witness that has been forgotten."""
LEAD_SHARE = 0.25
"""An event may lead what is agreed by this share of the attribution window: so much of it one clock can cost at most.
A shard of a quarter of 815 users was never silent for as much of a day (measured: 3.7 h)."""

CLOCK = np.dtype(
    [
        ("event_ms", "i8"),  # latest event time believed; before any time is known, the latest one claimed
        ("beat_ms", "i8"),  # latest heartbeat
        ("agreed_ms", "i8"),
        ("leap_from_ms", "i8"),  # the last time that the clock moved by more than ``lead_ms`` at once: what it said ...
        ("leap_to_ms", "i8"),  # ... before and after
        ("witness", "u8", (WITNESSES,)),  # the last different users, in no order: key ...
        ("witness_ms", "i8", (WITNESSES,)),  # ... what time their last event claimed ...
        ("witness_at", "i8", (WITNESSES,)),  # ... and its number in the stream
    ]
)


def new_clock() -> NDArray[np.void]:
    """A clock that knows no time, shape (1,)."""
    return np.zeros(1, CLOCK)


class Belief(NamedTuple):
    """How much later than what is agreed, and than the latest heartbeat, an event may claim to be, ms."""

    lead_ms: int
    future_ms: int


def belief_of(settings: Settings) -> Belief:
    """What is believed under ``settings``."""
    future_s = settings.limits.future_s
    return Belief(round(max(LEAD_SHARE * settings.labels.window_s, future_s) * 1000), round(future_s * 1000))


@kernel
def now_ms(clock: Any) -> int:
    """What the clock says."""
    return int(max(clock.event_ms, clock.beat_ms))


@kernel
def end_ms(belief: Belief, clock: Any) -> int:
    """What to take for the end of the stream if it ends here: the last users are believed one lead further."""
    return int(max(clock.event_ms, _latest_within(clock, clock.event_ms + belief.lead_ms)))


@kernel
def is_known(clock: Any) -> bool:
    """Whether there is a time to settle anything by."""
    return bool(max(clock.agreed_ms, clock.beat_ms) > 0)


@kernel
def beat(belief: Belief, clock: Any, time_ms: int) -> None:
    """Take in a heartbeat: it is trusted."""
    if not is_known(clock):
        clock.event_ms = min(clock.event_ms, time_ms)
        _leap(belief, clock, 0, time_ms)
    else:
        _leap(belief, clock, now_ms(clock), time_ms)
    clock.beat_ms = max(clock.beat_ms, time_ms)


@kernel
def hear(belief: Belief, clock: Any, time_ms: int, user_key: Any, ordinal: int) -> int:
    """Take in an event; returns the time at which it counts for the population: its own if believed, else the clock's.

    Args:
        belief: see ``belief_of``.
        clock: a record of dtype ``CLOCK``.
        time_ms: what the event claims.
        user_key: uint64, not 0.
        ordinal: number of the event in the stream, from 1.
    """
    was_known = is_known(clock)
    _testify(clock, time_ms, user_key, ordinal)
    agreed = _reached_by_all(clock, ordinal)
    if agreed > clock.agreed_ms:
        before, reached = now_ms(clock) if was_known else 0, _latest_within(clock, agreed + belief.lead_ms)
        _leap(belief, clock, before, reached)
        clock.agreed_ms = agreed
        clock.event_ms = max(clock.event_ms, reached) if was_known else reached
    if not is_known(clock):
        clock.event_ms = max(clock.event_ms, time_ms)
        return time_ms
    latest = max(clock.agreed_ms + belief.lead_ms, clock.beat_ms + belief.future_ms)
    if not clock.agreed_ms - belief.lead_ms <= time_ms <= latest:
        return int(clock.event_ms)
    clock.event_ms = max(clock.event_ms, time_ms)
    return time_ms


@kernel
def forget_witness(clock: Any, user_key: Any) -> None:
    """Let what the user has witnessed stand without the user's key."""
    for which in range(WITNESSES):
        if clock.witness[which] == user_key:
            clock.witness[which] = NOBODY


@kernel
def heard_ms(clock: Any, time_ms: int, counted_ms: int, patience_ms: int) -> int:
    """From when on to wait for what follows an event that counts at ``counted_ms``; 0 while no time is known.

    The clock's time, not the event's, where that is not believed, or where ``patience_ms`` had passed on arrival.
    """
    if not is_known(clock):
        return 0
    if time_ms > counted_ms or counted_ms + patience_ms < now_ms(clock):
        return now_ms(clock)
    return counted_ms


@kernel
def waits_from(clock: Any, time_ms: int, heard: int, patience_ms: int) -> int:
    """The same, with what is known now of an event that claimed ``time_ms`` and was heard at ``heard``.

    The stream has reached the claim: that time. The clock has leapt since, to where the claim may well be true: from
    there. Else from when it was heard, so that a wrong clock's row does not stay open until its time comes.
    """
    if time_ms <= heard:
        return heard
    if time_ms <= clock.event_ms:
        return time_ms
    if heard == clock.leap_from_ms and time_ms <= clock.leap_to_ms + patience_ms:
        return int(clock.leap_to_ms)
    return heard


@kernel
def _testify(clock: Any, time_ms: int, user_key: Any, ordinal: int) -> None:
    """Note the user's word, in the place of their last one or of the user heard longest ago."""
    place = 0
    for which in range(WITNESSES):
        if clock.witness[which] == user_key:
            place = which
            break
        if clock.witness_at[which] < clock.witness_at[place]:
            place = which
    clock.witness[place], clock.witness_ms[place], clock.witness_at[place] = user_key, time_ms, ordinal


@kernel
def _reached_by_all(clock: Any, ordinal: int) -> int:
    """The earliest time that a recent witness claims; 0 while there are too few to tell."""
    earliest = np.int64(1) << 62
    for which in range(WITNESSES):
        if clock.witness_at[which] > ordinal - RECENT_EVENTS:
            earliest = min(earliest, clock.witness_ms[which])
    return int(earliest)


@kernel
def _latest_within(clock: Any, limit_ms: int) -> int:
    """The latest time that a witness claims and ``limit_ms`` allows."""
    latest = np.int64(0)
    for which in range(WITNESSES):
        if clock.witness_ms[which] <= limit_ms:
            latest = max(latest, clock.witness_ms[which])
    return int(latest)


@kernel
def _leap(belief: Belief, clock: Any, before_ms: int, after_ms: int) -> None:
    if after_ms > before_ms + belief.lead_ms:
        clock.leap_from_ms, clock.leap_to_ms = before_ms, after_ms


@kernel
def follow(belief: Belief, clock: Any, events: Any, late_ms: Any, ordinal: int) -> int:
    """Take in a batch (columns of dtype ``EVENT``), setting ``now_ms``; returns the number of the last event.

    ``late_ms`` (n,) becomes by how much the clock is past the time that each event claims; 0 while no time is known.
    """
    for at in range(events.shape[0]):
        event = events[at]
        late_ms[at] = 0
        if event.etype == HEARTBEAT_CODE:
            beat(belief, clock, event.time_ms)
            event.now_ms = now_ms(clock)
        elif event.etype == ERASE_CODE:
            event.now_ms = clock.event_ms
        else:
            ordinal += 1
            event.now_ms = hear(belief, clock, event.time_ms, event.user_key, ordinal)
            if is_known(clock):
                late_ms[at] = max(now_ms(clock) - event.time_ms, 0)
    return ordinal
