"""What pollutes the log, by kind. Invented accounts are numbered after the real people."""

from __future__ import annotations

import numpy as np

from sie_online.moments import MINUTE_MS, SECOND_MS
from sie_online.simulator.columns import EventColumns
from sie_online.simulator.scenario import Scenario
from sie_online.simulator.world import Ints, World

BOT_PACE_JITTER = 0.25  # of the gap, for crawlers on a timer
SLOW_BOTS = 0.5  # share of crawlers that spread over the whole span; the others work through a few hours
BRUSHING_DELAY_MS = 90 * SECOND_MS  # view to fake purchase, mean
NEW_SESSION = 1 << 40  # session numbers of invented accounts start here


def misclicks(scenario: Scenario, world: World, genuine: EventColumns, rng: np.random.Generator) -> EventColumns:
    """Real people's accidental views: an item of average popularity, seconds after a real view, left at once."""
    views = genuine.of_type("view")
    n = int(scenario.events * scenario.misclick_share)
    slip = views.take(rng.integers(0, len(views), n))
    at = slip.time_ms + rng.integers(1 * SECOND_MS, 30 * SECOND_MS, n)
    dwell_ms = np.round(rng.lognormal(np.log(900), 0.5, n))
    position = rng.geometric(0.12, n)
    return EventColumns.of(
        at, "view", slip.user, world.popular(rng, n), slip.session,
        kind="misclick", position=position, dwell_ms=dwell_ms,
    )  # fmt: skip


def bots(scenario: Scenario, world: World, first_account: int, rng: np.random.Generator) -> EventColumns:
    """Crawlers: new accounts that view items drawn uniformly, steadily, day and night, and never buy."""
    n = int(scenario.events * scenario.bot_share)
    accounts = max(3, n // scenario.bot_views) if n else 0
    each = np.array_split(np.arange(n), accounts) if accounts else []
    times = [_crawl(scenario, len(rows), rng) for rows in each]
    time_ms = np.concatenate(times) if times else np.empty(0, np.int64)
    account = np.repeat(np.arange(accounts), [len(rows) for rows in each])
    dwell_ms = np.round(rng.lognormal(np.log(3_000), 0.4, n))
    return EventColumns.of(
        time_ms, "view", first_account + account, rng.integers(0, world.items, n), NEW_SESSION + account,
        kind="bots", position=1 + np.arange(n) % 40, dwell_ms=dwell_ms,
    )  # fmt: skip


def _crawl(scenario: Scenario, n: int, rng: np.random.Generator) -> Ints:
    """Times of one crawler's views: on a jittered timer, or at random with a constant rate."""
    share = 1.0 if rng.random() < SLOW_BOTS else rng.uniform(0.05, 0.3)
    length = share * scenario.span_ms
    start = scenario.start_ms + rng.random() * (scenario.span_ms - length)
    gap = length / max(n, 1)
    if rng.random() < 0.5:
        at = (np.arange(n) + 0.5 + rng.uniform(-BOT_PACE_JITTER, BOT_PACE_JITTER, n)) * gap
    else:
        at = np.sort(rng.random(n)) * length
    return (start + at).astype(np.int64)


def brushing(scenario: Scenario, world: World, first_account: int, rng: np.random.Generator) -> EventColumns:
    """Fake orders: throw-away accounts view and buy a few target items within minutes."""
    orders = int(scenario.events * scenario.brushing_share)
    accounts = max(1, orders // scenario.brushing_orders)
    targets = rng.choice(world.items, min(scenario.brushing_targets, world.items), replace=False)
    account = np.sort(rng.integers(0, accounts, orders))
    begin = scenario.start_ms + rng.random(accounts) * (scenario.span_ms - 60 * MINUTE_MS)
    nth = np.arange(orders) - np.searchsorted(account, account)
    viewed = begin[account] + nth * 4 * MINUTE_MS + rng.exponential(2 * MINUTE_MS, orders)
    bought = viewed + 3 * SECOND_MS + rng.exponential(BRUSHING_DELAY_MS, orders)
    user, item, session = first_account + account, rng.choice(targets, orders), NEW_SESSION * 2 + account
    dwell_ms = np.round(np.minimum(bought - viewed, rng.lognormal(np.log(15_000), 0.6, orders)))
    views = EventColumns.of(
        viewed, "view", user, item, session, kind="brushing", position=rng.geometric(0.12, orders), dwell_ms=dwell_ms
    )
    events = EventColumns.concat([views, EventColumns.of(bought, "purchase", user, item, session, kind="brushing")])
    return events.take(events.time_ms < scenario.end_ms)
