"""Mixing: which behaviours, how much of each, and the log that comes of it.

Innocents come first: what pollutes a shop finds its odd people there, and may imitate or hijack them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from sie_online.behaviours.chance import Rng, about
from sie_online.behaviours.draft import Draft, within
from sie_online.behaviours.faults import FAULTS
from sie_online.behaviours.innocents import OUTINGS
from sie_online.behaviours.lives import LIVES
from sie_online.behaviours.log import Behaviour, Log, Mixture, Roles, check
from sie_online.behaviours.polluters import PROGRAMMES, Family
from sie_online.behaviours.shop import Shop, deeds_of

POLLUTERS: Mapping[str, Family] = {**PROGRAMMES, **FAULTS}
INNOCENTS: Mapping[str, Family] = {**OUTINGS, **LIVES}
POLLUTING = tuple(POLLUTERS)
"""Families whose events are noise."""
INNOCENT = tuple(INNOCENTS)
"""Families whose events are odd and genuine."""
ALL = (*POLLUTING, *INNOCENT)

NEED_ACTS = frozenset({"cart_stuffing"})
NEED_CONVERSIONS = frozenset({"rank_boosting", "camouflaged_buyers", "fake_orders", "late_orders"})
"""Families that are nothing without such events, and are not drawn in a shop that has none."""
NEED_DEEDS = frozenset({"phantom_deeds"})
NEED_OTHERS = frozenset({"crossed_accounts", "household"})

POLLUTION = (0.003, 0.3)
"""Events of one polluting behaviour, as a share of the base log's; log-uniform."""
MOST_POLLUTION = 0.45
"""All of a mixture's pollution together; behaviours that would be more are made smaller alike."""
ODDITY = (0.01, 0.15)
"""Events of one innocent behaviour, as a share of the base log's; log-uniform."""
MOST_POLLUTING, MOST_INNOCENT = 5, 3
"""Behaviours that are drawn unless a number is asked for; at least 1 of each."""


def mix(
    log: Log,
    roles: Roles,
    seed: int,
    *,
    families: Collection[str] = ALL,
    polluting: int | None = None,
    innocent: int | None = None,
) -> Mixture:
    """Mix random behaviours into ``log``, the same ones for the same seed.

    Args:
        log: in order of time, codes from 0 on.
        roles: which event types are samples and which conversions.
        seed: decides everything that is drawn.
        families: to draw from; those that the shop has no event types or accounts for are left out.
        polluting: how many behaviours pollute (None: drawn, 1 to 5). Each has .3 % to 30 % as many events as ``log``,
            all of them together 45 % at most.
        innocent: how many are innocent (None: drawn, 1 to 3). Each is about 1 % to 15 %.

    Returns:
        Every event of ``log`` once, moved or not, and what was added, none of it before its first or after its last.

    Raises:
        ValueError: the log is too short or broken, a family is unknown, or a number is asked for of a kind of which
            ``families`` leave none; in words.
    """
    check(log, roles)
    if unknown := sorted(set(families) - set(ALL)):
        raise ValueError(f"no family of behaviours is named {', '.join(unknown)}")
    rng = np.random.Generator(np.random.PCG64(seed))
    base = Mixture(log, np.arange(len(log.user)), np.zeros(len(log.user), np.int64), ())
    odd = _mixed(base, roles, rng, _drawn(log, roles, rng, families, innocent, polluting=False))
    mixed = _mixed(odd, roles, rng, _drawn(log, roles, rng, families, polluting, polluting=True))
    return _counted(mixed)


def _drawn(
    log: Log, roles: Roles, rng: Rng, families: Collection[str], asked: int | None, *, polluting: bool
) -> list[tuple[str, float]]:
    """Behaviours, and how many events each is to have, as a share of the base log's."""
    known = [name for name in (POLLUTING if polluting else INNOCENT) if name in families and _fits(name, log, roles)]
    kind = "polluting" if polluting else "innocent"
    if asked is not None and asked < 0:
        raise ValueError(f"{kind} is {asked}: a number of behaviours is at least 0")
    if asked and not known:
        raise ValueError(f"none of the families is {kind} and has what it needs in this log")
    drawn = int(rng.integers(1, (MOST_POLLUTING if polluting else MOST_INNOCENT) + 1))
    count = drawn if asked is None else asked
    if not known or not count:
        return []
    names = [name for _ in range(-(-count // len(known))) for name in rng.permutation(known).tolist()][:count]
    sizes = np.array([about(rng, *(POLLUTION if polluting else ODDITY)) for _ in names])
    if polluting:
        sizes *= min(1.0, MOST_POLLUTION / sizes.sum())
    return list(zip(names, sizes.tolist(), strict=True))


def _fits(name: str, log: Log, roles: Roles) -> bool:
    """Whether the log has what a family needs."""
    conversions, acts = (bool(codes.size) for codes in deeds_of(log, roles))
    needs = (
        name not in NEED_CONVERSIONS or conversions,
        name not in NEED_ACTS or acts,
        name not in NEED_DEEDS or conversions or acts,
        name not in NEED_OTHERS or log.user.min() != log.user.max(),
    )
    return all(needs)


def _mixed(base: Mixture, roles: Roles, rng: Rng, drawn: list[tuple[str, float]]) -> Mixture:
    """``base`` with more behaviours."""
    if not drawn:
        return base
    shop = Shop(base.log, roles)
    events = np.count_nonzero(base.source >= 0)
    user, at, behaviour = base.log.user.copy(), shop.at.copy(), base.behaviour.copy()
    drafts: list[tuple[Draft, int]] = []
    accounts, taken = shop.users, np.zeros(shop.n, np.bool_)
    for number, (name, share) in enumerate(drawn, len(base.behaviours) + 1):
        budget = max(1, int(share * events))
        family = POLLUTERS.get(name) or INNOCENTS[name]
        draft = _thinned(rng, within(shop, family(shop, rng, budget)), budget)
        if name in FAULTS:  # lives that innocents move are moved whole
            draft = draft.moving(np.sort(rng.permutation(len(draft.rows))[:budget]))
        draft = draft.moving(~taken[draft.rows])  # what is moved twice would be of neither behaviour
        draft, accounts = _numbered(shop, draft, accounts)
        taken[draft.rows] = True
        user[draft.rows], at[draft.rows], behaviour[draft.rows] = draft.moved_user, draft.moved_at, number
        drafts.append((draft, number))
    new = sum(len(draft.user) for draft, _ in drafts)
    item = np.concatenate([base.log.item, *(draft.item for draft, _ in drafts)])
    category = np.concatenate([base.log.category, shop.category[item[shop.n :]]])
    etype = np.concatenate([base.log.etype, *(draft.etype for draft, _ in drafts)])
    at = np.concatenate([at, *(draft.at for draft, _ in drafts)])
    user = np.concatenate([user, *(draft.user for draft, _ in drafts)])
    order = np.argsort(at, kind="stable")
    numbers = np.concatenate([behaviour, *(np.full(len(draft.user), number) for draft, number in drafts)])
    return Mixture(
        Log(user, item, category, etype, shop.time_ms(at)).take(order),
        np.concatenate([base.source, np.full(new, -1)])[order],
        numbers[order],
        (*base.behaviours, *(Behaviour(name, name in POLLUTERS, 0) for name, _ in drawn)),
    )


def _thinned(rng: Rng, draft: Draft, most: int) -> Draft:
    """``draft`` without some of the accounts to which it adds, if it adds more than ``most`` events."""
    if len(draft.user) <= most:
        return draft
    users, place = np.unique(draft.user, return_inverse=True)
    turn = rng.permutation(len(users))[place]
    order = np.argsort(turn, kind="stable")
    return draft.adding(np.sort(order[:most]))


def _numbered(shop: Shop, draft: Draft, accounts: int) -> tuple[Draft, int]:
    """``draft`` with its new accounts numbered from ``accounts`` on, and where the next ones begin."""
    both = np.concatenate([draft.user, draft.moved_user])
    new = both >= shop.users
    known, place = np.unique(both[new], return_inverse=True)
    both[new] = accounts + place
    n = len(draft.user)
    return draft._replace(user=both[:n], moved_user=both[n:]), accounts + len(known)


def _counted(mixed: Mixture) -> Mixture:
    """``mixed`` with the events of each behaviour counted, and those left out that have none."""
    counts = np.bincount(mixed.behaviour, minlength=len(mixed.behaviours) + 1)
    kept = counts[1:] > 0
    number = np.concatenate([[0], np.cumsum(kept)])
    behaviours = [each._replace(events=int(n)) for each, n in zip(mixed.behaviours, counts[1:], strict=True) if n]
    return Mixture(mixed.log, mixed.source, number[mixed.behaviour], tuple(behaviours))
