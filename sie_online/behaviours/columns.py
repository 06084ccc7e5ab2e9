"""From decoded events to a log of dense codes, and from a mixture back to events that a shard takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.behaviours.log import NO_CATEGORY, Ints, Log, Mixture, Roles
from sie_online.behaviours.shop import SITTING_MS, grouped
from sie_online.contracts import EVENT_TYPES, TYPE_CODES

DETAILS = ("position", "propensity", "price", "dwell_ms", "rating")
"""What an added event has from a real one of its type, of the same item if there is one."""
KEYS = ("event_key", "user_key", "item_key", "category_key", "session_key")


class Decoded(NamedTuple):
    """A log, and what its codes stand for."""

    log: Log
    rows: Ints  # (n,) of the columns that it was made of, in order of time
    users: NDArray[np.uint64]  # (users,) keys by code
    items: NDArray[np.uint64]  # (items,)
    categories: NDArray[np.uint64]  # (categories,)


def roles_of(samples: Iterable[str], conversions: Iterable[str]) -> Roles:
    """Roles by the names of event types, as ``settings.labels`` has them."""
    return Roles(frozenset(TYPE_CODES[name] for name in samples), frozenset(TYPE_CODES[name] for name in conversions))


def log_of(columns: NDArray[np.void]) -> Decoded:
    """The events of ``columns`` (dtype ``EVENT``) in order of time, heartbeats and erasures left out.

    Events of one moment keep their order. Users, items and categories are numbered as they are first seen.
    """
    rows = np.flatnonzero(columns["etype"] < len(EVENT_TYPES))
    rows = rows[np.argsort(columns["time_ms"][rows], kind="stable")]
    user, users = _codes(columns["user_key"][rows])
    item, items = _codes(columns["item_key"][rows])
    keys = columns["category_key"][rows]
    category = np.full(len(rows), NO_CATEGORY, np.int64)
    category[keys != 0], categories = _codes(keys[keys != 0])
    etype, time_ms = columns["etype"][rows].astype(np.int64), columns["time_ms"][rows].astype(np.int64)
    return Decoded(Log(user, item, category, etype, time_ms), rows, users, items, categories)


def columns_of(mixture: Mixture, decoded: Decoded, columns: NDArray[np.void], seed: int = 0) -> NDArray[np.void]:
    """The events of ``mixture``, which was made of ``decoded``, as columns of dtype ``EVENT`` in its order.

    Events that were there are as they were but for account, time and offset; added ones have keys of their own for
    event, session and new account, which occur nowhere in ``columns``, and details of a real event of their type.
    Offsets count from 0. The same ``seed``, the same keys.
    """
    log, added = mixture.log, mixture.source < 0
    rng = np.random.Generator(np.random.PCG64(seed))
    base = columns[decoded.rows]
    out = base[np.where(added, _donors(mixture, decoded.log, rng), mixture.source)]
    taken = np.unique(np.concatenate([columns[name] for name in KEYS]))
    users = max(int(log.user.max()) + 1, len(decoded.users))
    sessions = _sessions(log, added)
    fresh = _fresh(rng, taken, users - len(decoded.users) + int(sessions.max()) + 1 + int(added.sum()))
    new_users, rest = np.split(fresh, [users - len(decoded.users)])
    session_keys, event_keys = np.split(rest, [int(sessions.max()) + 1])
    out["user_key"] = np.concatenate([decoded.users, new_users])[log.user]
    out["item_key"] = decoded.items[log.item]
    out["category_key"] = np.append(decoded.categories, np.uint64(0))[log.category]  # NO_CATEGORY is the last
    out["event_key"][added] = event_keys
    has_session = added & (out["session_key"] != 0)
    out["session_key"][has_session] = session_keys[sessions[has_session]]
    out["time_ms"], out["etype"] = log.time_ms, log.etype
    out["offset"], out["now_ms"] = np.arange(len(out)), 0
    return out


def _codes(keys: NDArray[np.uint64]) -> tuple[Ints, NDArray[np.uint64]]:
    """A code for each key, by first sight, (n,), and the keys by code."""
    known, first, place = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    code = np.empty(len(known), np.int64)
    code[order] = np.arange(len(known))
    return code[place], known[order]


def _donors(mixture: Mixture, base: Log, rng: np.random.Generator) -> Ints:
    """For each event a row of the base of the same type, of the same item where there is one, (n,)."""
    out = np.zeros(len(mixture.source), np.int64)
    added = np.flatnonzero(mixture.source < 0)
    kinds = len(EVENT_TYPES)
    by_type, type_first = grouped(base.etype, kinds)
    etype = mixture.log.etype[added]
    out[added] = by_type[_any_of(rng, type_first, etype)]
    pair = mixture.log.item[added] * kinds + etype
    by_pair, pair_first = grouped(base.item * kinds + base.etype, (int(base.item.max()) + 1) * kinds)
    known = pair_first[pair + 1] > pair_first[pair]
    out[added[known]] = by_pair[_any_of(rng, pair_first, pair[known])]
    return out


def _any_of(rng: np.random.Generator, first: Ints, group: Ints) -> Ints:
    """A place in each of ``group`` (n,), groups that begin at ``first``."""
    return first[group] + np.floor((first[group + 1] - first[group]) * rng.random(len(group))).astype(np.int64)


def _sessions(log: Log, added: Any) -> Ints:
    """Sessions of the added events, numbered from 0, (n,); what was there has a session of its own."""
    rows = np.flatnonzero(added)
    out = np.zeros(len(added), np.int64)
    if not rows.size:
        return out
    order = rows[np.argsort(log.user[rows], kind="stable")]
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(log.user[order]) != 0) | (np.diff(log.time_ms[order]) > SITTING_MS)
    out[order] = np.cumsum(new) - 1
    return out


def _fresh(rng: np.random.Generator, taken: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """``count`` different keys, none 0 and none in ``taken``."""
    keys = np.empty(0, np.uint64)
    while len(keys) < count:
        more = rng.integers(1, np.iinfo(np.uint64).max, count - len(keys), np.uint64, endpoint=True)
        keys = np.concatenate([keys, more[~np.isin(more, taken)]])
        keys = keys[np.sort(np.unique(keys, return_index=True)[1])]
    return keys
