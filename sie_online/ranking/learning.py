"""One event learned: its item goes with the user's last ones, is more popular, and becomes the user's newest."""

from __future__ import annotations

from typing import Any

from sie_online.elementary import exp
from sie_online.hashing import combine
from sie_online.jit import kernel
from sie_online.ranking.tables import EVERYTHING, RankingConfig, check_of
from sie_online.slots import forget, slot_of

INHERITED = 0.5
"""Share of its predecessor's count that a new neighbour begins with. All of it (space-saving, Metwally et al., ICDT'05)
lets any newcomer pass for a neighbour: recall@20 on ML-100K .17 against .28 with 64 neighbours; none of it: .27."""
LARGEST_EXPONENT = 40.0
"""Of the growth since the landmark; beyond it there is a new landmark."""


@kernel
def learn_event(
    cfg: RankingConfig,
    tables: Any,
    user_key: Any,
    item_key: Any,
    category_key: Any,
    now_ms: int,
    weight: float,
    ids: Any,
    first: int,
    last: int,
) -> None:
    """Take in that a user had an item.

    Args:
        cfg: a ``RankingConfig``.
        tables: ``RankingTables``.
        user_key: uint64, not 0; so is ``item_key``.
        category_key: of the item; 0: not known.
        now_ms: event time.
        weight: of the event, above 0.
        ids: the item's id is ``ids[first:last]`` (uint8).
        first: see ``ids``; so is ``last``.
    """
    totals = tables.totals[0]
    totals.events += 1
    ordinal = totals.events
    grown = weight * growth(cfg, tables, now_ms)
    item = slot_of(tables.items, item_key, ordinal)
    user = slot_of(tables.users, user_key, ordinal)
    _name(tables.items.rows[item], ids, first, last)
    _note_seen(tables, user_key, item_key, ordinal)
    _count_together(cfg, tables, tables.users.rows[user], item, grown)
    row = tables.items.rows[item]
    row.popularity += grown
    check = check_of(item_key)
    _keep_popular(tables, EVERYTHING, item, check, row.popularity, ordinal)
    if category_key != 0:
        _keep_popular(tables, category_key, item, check, row.popularity, ordinal)
        tables.users.rows[user].category_key = category_key
    _put_first(tables.users.rows[user], item, check, weight)


@kernel
def forget_user(tables: Any, user_key: Any) -> None:
    """Forget what a user had. What remains are sums over many users."""
    forget(tables.users, user_key)
    for slot in range(tables.seen.used[0]):
        if tables.seen.rows[slot].user_key == user_key:
            forget(tables.seen, tables.seen.rows[slot].key)


@kernel
def growth(cfg: RankingConfig, tables: Any, now_ms: int) -> float:
    """By what to multiply what is counted at ``now_ms``; perhaps from a new landmark on."""
    totals = tables.totals[0]
    totals.now_ms = now_ms
    # what was counted at times that turn out to have been wrong is taken for now
    if totals.landmark_ms == 0 or now_ms < totals.landmark_ms:
        totals.landmark_ms = now_ms
    exponent = cfg.decay_per_ms * (now_ms - totals.landmark_ms)
    if exponent > LARGEST_EXPONENT:
        _scale(tables, exp(-exponent))
        totals.landmark_ms = now_ms
        return 1.0
    return exp(exponent)


@kernel
def change_decay(cfg: RankingConfig, tables: Any) -> None:
    """From now on what is counted decays as ``cfg`` says; until now it has as ``totals`` say."""
    totals = tables.totals[0]
    if totals.decay_per_ms == cfg.decay_per_ms:
        return
    _scale(tables, exp(-totals.decay_per_ms * (totals.now_ms - totals.landmark_ms)))
    totals.landmark_ms, totals.decay_per_ms = totals.now_ms, cfg.decay_per_ms


@kernel
def _scale(tables: Any, by: float) -> None:
    for slot in range(tables.items.used[0]):
        row = tables.items.rows[slot]
        row.popularity *= by
        _scale_list(row, by)
        tables.items.changed[slot] = 1
    for slot in range(tables.categories.used[0]):
        _scale_list(tables.categories.rows[slot], by)
        tables.categories.changed[slot] = 1


@kernel
def _scale_list(row: Any, by: float) -> None:
    for place in range(row.n):
        row.count[place] *= by


@kernel
def _name(row: Any, ids: Any, first: int, last: int) -> None:
    if row.id_bytes == 0:
        row.id_bytes = last - first
        for at in range(last - first):
            row.id[at] = ids[first + at]


@kernel
def _note_seen(tables: Any, user_key: Any, item_key: Any, ordinal: int) -> None:
    slot = slot_of(tables.seen, combine(user_key, item_key), ordinal)
    if tables.seen.rows[slot].user_key == user_key:
        tables.totals[0].repeats += 1
    tables.seen.rows[slot].user_key = user_key


@kernel
def _count_together(cfg: RankingConfig, tables: Any, user: Any, item: int, grown: float) -> None:
    """Count the item with each of the user's last ones, the less the longer ago."""
    rows = tables.items.rows
    check = check_of(rows[item].key)
    for place in range(min(user.n, cfg.window)):
        other = user.slot[place]
        if other == item or check_of(rows[other].key) != user.check[place]:
            continue
        count = grown * user.count[place] / (1.0 + place)
        _add(rows[item], other, user.check[place], count)
        _add(rows[other], item, check, count)
        tables.items.changed[other] = 1


@kernel
def _add(row: Any, slot: int, check: Any, count: float) -> None:
    """Add to a neighbour's count; in a full list a newcomer takes the place of the least one."""
    least = 0
    for place in range(row.n):
        if row.slot[place] == slot and row.check[place] == check:
            row.count[place] += count
            return
        if row.count[place] < row.count[least]:
            least = place
    if row.n < row.slot.shape[0]:
        row.slot[row.n], row.check[row.n], row.count[row.n] = slot, check, count
        row.n += 1
    else:
        row.slot[least], row.check[least] = slot, check
        row.count[least] = INHERITED * row.count[least] + count


@kernel
def _keep_popular(tables: Any, category_key: Any, slot: int, check: Any, popularity: float, ordinal: int) -> None:
    """Have the item among its category's most popular if it is: popularity only grows, so the list is exact."""
    category = slot_of(tables.categories, category_key, ordinal)
    row = tables.categories.rows[category]
    _drop_one_stale(tables, row, ordinal)
    least = 0
    for place in range(row.n):
        if row.slot[place] == slot and row.check[place] == check:
            row.count[place] = popularity
            return
        if row.count[place] < row.count[least]:
            least = place
    if row.n < row.slot.shape[0]:
        least = row.n
        row.n += 1
    elif row.count[least] >= popularity:
        return
    row.slot[least], row.check[least], row.count[least] = slot, check, popularity


@kernel
def _drop_one_stale(tables: Any, row: Any, ordinal: int) -> None:
    """Look at one entry, in turn, and drop it if its item has made room: looking at all of them would cost more."""
    if row.n == 0:
        return
    place = ordinal % row.n
    if check_of(tables.items.rows[row.slot[place]].key) != row.check[place]:
        row.n -= 1
        last = row.n
        row.slot[place], row.check[place], row.count[place] = row.slot[last], row.check[last], row.count[last]


@kernel
def _put_first(user: Any, item: int, check: Any, weight: float) -> None:
    """Make the item the user's newest; the others move on, up to where it was."""
    until = user.n
    for place in range(user.n):
        if user.slot[place] == item and user.check[place] == check:
            until = place
            weight = max(weight, user.count[place])
            break
    if until == user.n and user.n < user.slot.shape[0]:
        user.n += 1
    for place in range(min(until, user.slot.shape[0] - 1), 0, -1):
        user.slot[place], user.check[place] = user.slot[place - 1], user.check[place - 1]
        user.count[place] = user.count[place - 1]
    user.slot[0], user.check[0], user.count[0] = item, check, weight
