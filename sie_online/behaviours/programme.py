"""Programmes: accounts that do as somebody told them, whatever they like themselves.

A programme is drawn part by part, each independently of the others: who acts, when, on what, together with whom,
hidden behind what, and what they do with an item. A family (`sie_online.behaviours.polluters`) is a programme some
parts of which are settled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sie_online.behaviours import chance
from sie_online.behaviours.chance import Rng, about, happens, one_of, whole
from sie_online.behaviours.draft import NONE, Draft, added, joined
from sie_online.behaviours.log import Bools, Floats, Ints
from sie_online.behaviours.shop import Shop
from sie_online.behaviours.sources import SOURCES, Source, Steps, items_of, popular, targets_of
from sie_online.behaviours.timing import DAY_MS, HOUR_MS, RHYTHMS, Rhythm, Sessions, Window, gaps, starts

MOST_ACCOUNTS = 3_000
"""Of one programme, however large the log is."""

Who = Literal["new", "anyone", "active", "dormant"]
"""New accounts, or existing ones: any, those with most to imitate, those not seen for long."""
Deed = Literal["none", "act", "conversion", "both"]
"""What follows a look at an item: nothing, a cart or the like, a conversion, one after the other."""
Kind = Literal["sample", "act", "conversion"]


@dataclass(frozen=True)
class Programme:
    """Everything that was drawn of one. Counts are means, times in ms."""

    who: Who
    per_account: float  # events
    sitting: float  # events of a session
    unevenness: float  # of accounts' sizes, log scale
    rhythm: Rhythm
    window: Window
    takeover: bool  # each account begins at a moment of its own and does not stop
    gap_ms: float  # within sessions; 0: the shop's own
    spread: float  # of gaps, log scale
    source: Source
    targets: int
    group_size: int  # accounts that share targets and hours; 1: each for itself, MOST_ACCOUNTS: all of them
    decoys: float  # share of events on popular items
    repeats: float  # share of events on the item before
    kind: Kind  # what an event on an item is
    deed: Deed
    deeds: float  # share of events on targets that a deed follows
    deed_every: int  # sessions; in the others nothing is done
    delay_ms: float  # of a deed, mean
    cover: float  # events that imitate real people's sessions, for each other event
    cover_before: bool  # rather than in between


def drawn(shop: Shop, rng: Rng, **settled: object) -> Programme:
    """A programme at random but for what is ``settled``."""
    first = shop.span * (rng.uniform(0, 0.7) if happens(rng, 0.5) else 0.0)
    last = rng.uniform(first + 0.08 * shop.span, shop.span) if happens(rng, 0.4) else shop.span
    parts: dict[str, object] = {
        "who": one_of(rng, "new", "new", "new", "anyone", "active", "dormant"),
        "per_account": about(rng, 2, 600),
        "sitting": about(rng, 1, 80),
        "unevenness": rng.uniform(0, 1.2),
        "rhythm": one_of(rng, *RHYTHMS),
        "window": Window(first, last),
        "takeover": happens(rng, 0.4),
        "gap_ms": one_of(rng, 0.0, about(rng, 300, 4_000_000), about(rng, 300, 4_000_000)),
        "spread": one_of(rng, 0.02, rng.uniform(0.05, 1.6)),
        "source": one_of(rng, *SOURCES),
        "targets": whole(rng, 1, 120),
        "group_size": one_of(rng, 1, whole(rng, 2, 40), MOST_ACCOUNTS),
        "decoys": one_of(rng, 0.0, rng.uniform(0, 0.7)),
        "repeats": one_of(rng, 0.0, 0.0, rng.uniform(0, 0.7)),
        "kind": "sample",
        "deed": one_of(rng, "none", "act", "conversion", "both"),
        "deeds": one_of(rng, rng.uniform(0.002, 0.06), rng.uniform(0.05, 0.9)),
        "deed_every": one_of(rng, 1, 1, 3),
        "delay_ms": about(rng, 3_000, 12 * HOUR_MS),
        "cover": one_of(rng, 0.0, 0.0, 0.0, rng.uniform(0.2, 2.5)),
        "cover_before": happens(rng, 0.5),
    }
    return Programme(**{**parts, **settled})  # type: ignore[arg-type]


def performed(shop: Shop, rng: Rng, plan: Programme, budget: int) -> Draft:
    """About ``budget`` events of the programme."""
    each = {"none": 0, "act": 1, "conversion": 1, "both": 2}[plan.deed]
    own = max(1, round(budget / (1 + each * plan.deeds * (1 - plan.decoys) / plan.deed_every + plan.cover)))
    users = accounts(shop, rng, plan.who, max(1, min(MOST_ACCOUNTS, round(own / plan.per_account))))
    sizes = chance.shares(rng, own, len(users), plan.unevenness)
    sessions, lengths, at = _sessions(shop, rng, plan, users, sizes)
    steps = _steps(shop, rng, plan, sessions, lengths, at)
    parties = int(sessions.group.max()) + 1
    items = items_of(shop, rng, plan.source, steps, targets_of(shop, rng, parties, plan.targets))
    decoys = rng.random(len(items)) < plan.decoys
    items = np.where(decoys, popular(shop, rng, len(items)), items)
    items = _repeated(rng, items, steps.step, plan.repeats)
    user = sessions.user[steps.session]
    main = added(user, items, types(shop, rng, plan.kind, len(items)), steps.at)
    serious = ~decoys & (sessions.turn[steps.session] % plan.deed_every == 0)
    return joined([main, _deeds(shop, rng, plan, main, serious), _cover(shop, rng, plan, main, sessions, at)])


def accounts(shop: Shop, rng: Rng, who: Who, count: int) -> Ints:
    """Codes of up to ``count`` accounts, none twice; new ones are numbered from ``shop.users`` on."""
    present = np.flatnonzero(shop.activity)
    match who:
        case "new":
            return np.arange(shop.users, shop.users + count)
        case "anyone":
            return chance.some(rng, present, count)
        case "active":
            most = present[np.argsort(-shop.activity[present], kind="stable")]
            return chance.some(rng, most[: max(count, len(most) // 3)], count)
        case "dormant":
            last = shop.at[shop.by_user[shop.user_first[present + 1] - 1]]
            earliest = present[np.argsort(last, kind="stable")]
            return chance.some(rng, earliest[: max(count, len(earliest) // 3)], count)


def types(shop: Shop, rng: Rng, kind: Kind, n: int) -> Ints:
    """Event types (n,): of samples in a proportion of the behaviour's own, of acts or conversions one.

    What the shop does not have is replaced by what comes nearest.
    """
    acts, conversions = shop.acts, shop.conversions
    if kind == "sample" or not (acts.size or conversions.size):
        found = np.unique(shop.log.etype[shop.browsed])
        weights = np.bincount(shop.log.etype[shop.browsed])[found] * rng.lognormal(0.0, 1.0, len(found))
        return np.asarray(rng.choice(found, n, p=weights / weights.sum()), np.int64)
    known = conversions if (kind == "conversion" and conversions.size) or not acts.size else acts
    return np.full(n, one_of(rng, *known.tolist()))


def _sessions(shop: Shop, rng: Rng, plan: Programme, users: Ints, sizes: Ints) -> tuple[Sessions, Ints, Floats]:
    """Sessions in order of account and time, the events of each, and when they begin."""
    counts = np.maximum(1, np.round(sizes / plan.sitting)).astype(np.int64)
    account, turn = chance.steps(counts)
    owner = np.repeat(np.arange(len(users)), sizes)
    first = np.cumsum(counts) - counts
    drawn_session = first[owner] + np.floor(counts[owner] * rng.random(len(owner))).astype(np.int64)
    lengths = np.bincount(drawn_session, minlength=len(account))
    kept = lengths > 0
    account, lengths = account[kept], lengths[kept]
    _, turn = chance.steps(np.bincount(account, minlength=len(users)))
    own = plan.rhythm == "own" and plan.who == "new"
    sessions = Sessions(users[account], account, account // plan.group_size, turn)
    at = starts(shop, rng, "human" if own else plan.rhythm, sessions, plan.window)
    if plan.takeover:
        begun = plan.window.first + plan.window.length * rng.uniform(0, 0.95, len(users))[account]
        at = np.where(at < begun, begun + (plan.window.last - begun) * rng.random(len(at)), at)
    order = np.lexsort((at, account))
    return sessions, lengths[order], at[order]


def _steps(shop: Shop, rng: Rng, plan: Programme, sessions: Sessions, lengths: Ints, at: Floats) -> Steps:
    session, step = chance.steps(lengths)
    account = sessions.account[session]
    first = np.searchsorted(account, account)
    since = chance.elapsed(gaps(shop, rng, len(step), plan.gap_ms, plan.spread), session, step)
    return Steps(session, step, np.arange(len(step)) - first, sessions.group[session], at[session] + since)


def _repeated(rng: Rng, items: Ints, step: Ints, share: float) -> Ints:
    """``items`` with ``share`` of them, none the first of its session, replaced by the one before."""
    fresh = (step == 0) | (rng.random(len(items)) >= share)
    return items[np.maximum.accumulate(np.where(fresh, np.arange(len(items)), 0))]


def _deeds(shop: Shop, rng: Rng, plan: Programme, main: Draft, serious: Bools) -> Draft:
    rows = np.flatnonzero(serious & (rng.random(len(serious)) < plan.deeds))
    if plan.deed == "none" or not (shop.acts.size or shop.conversions.size) or not rows.size:
        return NONE
    least = float(shop.tick_ms if shop.tick_ms <= 1_000 else 1_000)
    at, parts = main.at[rows], []
    for kind in ("act", "conversion") if plan.deed == "both" else (plan.deed,):
        at = at + least + rng.exponential(plan.delay_ms, len(rows))
        parts.append(added(main.user[rows], main.item[rows], types(shop, rng, kind, len(rows)), at))
    return joined(parts)


def _cover(shop: Shop, rng: Rng, plan: Programme, main: Draft, sessions: Sessions, at: Floats) -> Draft:
    """Sessions of real people, their conversions left out, at other times and as the programme's accounts."""
    most = round(plan.cover * len(main.user))
    if not most:
        return NONE
    first, last = shop.sittings
    chosen = rng.integers(0, len(first), most)  # each has at least one event
    chosen = chosen[: int(np.searchsorted(np.cumsum((last - first)[chosen]), most)) + 1]
    lengths = (last - first)[chosen]
    sitting, step = chance.steps(lengths)
    rows = shop.by_user[first[chosen][sitting] + step]
    near = rng.integers(0, len(sessions.user), len(chosen))
    if plan.cover_before:  # a past: before the account's first session
        anchor = at[np.searchsorted(sessions.account, sessions.account[near])]
        begin = anchor * rng.random(len(chosen))
    else:
        begin = at[near] + rng.normal(0, min(2 * DAY_MS, shop.span / 5), len(chosen))
    since = shop.at[rows] - shop.at[rows[np.flatnonzero(step == 0)]][sitting]
    room = shop.span - since[np.cumsum(lengths) - 1]
    begin = np.where((begin >= 0) & (begin <= room), begin, room * rng.random(len(chosen)))
    when = begin[sitting] + since
    kept = ~np.isin(shop.log.etype[rows], shop.conversions)
    whose = sessions.user[near][sitting]
    return added(whose[kept], shop.log.item[rows][kept], shop.log.etype[rows][kept], when[kept])
