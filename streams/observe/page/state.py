"""How a worker is, as one sentence for whoever was just woken. Pure; times of day are UTC."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

QUIET_S = 60.0
"""So long without an event, and there is nothing to do."""
BEHIND_S = 30.0
"""A worker that is no further behind keeps up: fetches, batches and checkpoints account for less."""

Tone = Literal["good", "busy", "bad"]
"""All is well; it takes a moment; a person may have to look."""


class State(msgspec.Struct, frozen=True):
    """What a page says first. ``name`` is for scripts; ``advice`` says what follows from it, and may be empty."""

    name: str
    tone: Tone
    sentence: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerFacts:
    """What a worker's state follows from; times in s since 1970, None where not known.

    ``starting``: what the start is at, empty when it is over. ``partitions``: how many are processed here, ``assigned``
    how many should be, ``of_topic`` how many there are (0: not known). ``lag_before``: the lag a minute ago.
    ``quiet_since``: when the last event was seen, or this process began.
    """

    now: float
    broker: str
    broker_up: bool = True
    last_answer: float = 0.0
    starting: str = ""
    alive: bool = True
    stalled_s: float = 0.0
    checks: Mapping[str, bool] = field(default_factory=dict)
    partitions: int = 0
    assigned: int | None = None
    of_topic: int = 0
    lag: int | None = None
    lag_s: float | None = None
    lag_before: int | None = None
    rate: float | None = None
    quiet_since: float | None = None


LAG_APART_S = 60.0
"""How long before now ``WorkerFacts.lag_before`` was."""


def worker_state(facts: WorkerFacts) -> State:
    """The first of all there is to say that matters now."""
    if not facts.broker_up:
        return outage(facts.broker, facts.last_answer, facts.now)
    if facts.starting:
        return State("starting", "busy", _sentence(facts.starting), "It joins its group when its start is over.")
    if not facts.alive:
        return State(
            "stuck",
            "bad",
            f"Stuck: records wait, and none has been processed for {lasting(facts.stalled_s)}.",
            "The watchdog ends such a process (exit code 70); started again, it goes on from its last checkpoint.",
        )
    if not all(facts.checks.values()):
        return _not_ready(facts)
    if not facts.partitions:
        advice = "It takes over as soon as one of them goes."
        return State("standby", "good", "Standing by: the other workers have all partitions.", advice)
    return _at_work(facts)


def outage(broker: str, last_answer: float, now: float) -> State:
    """The brokers are away; ``broker`` names them all, comma-separated."""
    several = "," in broker
    who = f"None of the brokers {broker.replace(',', ', ')} has" if several else f"The broker {broker} has not"
    since = f"answered since {time_of_day(last_answer, now)} UTC ({lasting(now - last_answer)})"
    return State("outage", "bad", f"{who} {since}.", "Nothing is lost; it goes on by itself when the broker is back.")


def _not_ready(facts: WorkerFacts) -> State:
    if not facts.checks.get("assigned", True):
        advice = "A rebalance takes seconds; a group without leave to join shows in the log."
        return State("unassigned", "busy", "Waiting for the group to assign partitions.", advice)
    if not facts.checks.get("recovered", True):
        what = "its partitions" if not facts.assigned else f"{facts.partitions} of {facts.assigned} partitions are back"
        sentence = f"Recovering: {what}." if facts.assigned else f"Recovering {what}."
        advice = "State is read from the newest checkpoint, and what came after it is processed again."
        return State("recovering", "busy", sentence, advice)
    return State("unready", "busy", "Not ready yet: batches are not being taken.")


def _at_work(facts: WorkerFacts) -> State:
    where = _partitions(facts)
    if facts.lag is None:
        return State("working", "good", f"Working: {where}; how far behind is not known yet.")
    quiet_since = facts.quiet_since
    if not facts.lag and quiet_since is not None and facts.now - quiet_since >= QUIET_S:
        sentence = f"Nothing to do: no events since {time_of_day(quiet_since, facts.now)} UTC."
        return State("idle", "good", sentence, f"{where[0].upper()}{where[1:]}, all processed.")
    behind_s = _behind_s(facts)
    if behind_s is None or behind_s < BEHIND_S:
        return State("working", "good", f"Working: {where}, {_behind(facts.lag, behind_s)}.")
    grown = None if facts.lag_before is None else facts.lag - facts.lag_before
    distance = f"{lasting(behind_s)} behind ({facts.lag:,} records)"
    if grown is None or not grown:
        return State("behind", "busy", f"Behind: {where}, {distance}.")
    if grown < 0:
        to_go = lasting(facts.lag * LAG_APART_S / -grown)
        return State("catching_up", "busy", f"Catching up: {where}, {distance}, about {to_go} to go.")
    advice = "Events come faster than they are weighed: add workers, up to the number of partitions."
    return State("falling_behind", "bad", f"Falling behind: {where}, {distance}, and it grows.", advice)


def _partitions(facts: WorkerFacts) -> str:
    if facts.of_topic:
        return f"{facts.partitions} of {facts.of_topic} partitions"
    return f"{facts.partitions} partition{'s' if facts.partitions > 1 else ''}"


def _behind_s(facts: WorkerFacts) -> float | None:
    """How old the oldest record that waits is; by the rate where that is not told; None where nobody knows."""
    if not facts.lag:
        return 0.0
    if facts.lag_s is not None:
        return facts.lag_s
    return facts.lag / facts.rate if facts.rate else None


def _behind(lag: int, behind_s: float | None) -> str:
    if not lag or (behind_s is not None and behind_s < 1.0):
        return "caught up"
    return f"{lag:,} records behind" if behind_s is None else f"{lasting(behind_s)} behind"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def lasting(seconds: float) -> str:
    """So long, in whole ones of the unit that suits it."""
    for unit, unit_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def time_of_day(at: float, now: float) -> str:
    """Hours and minutes in UTC, with the date where that is another day."""
    when, today = time.gmtime(at), time.gmtime(now)
    return time.strftime("%H:%M" if when[:3] == today[:3] else "%Y-%m-%d %H:%M", when)
