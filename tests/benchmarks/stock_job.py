"""The job as one writes it for stock Faust and River: one event at a time, dictionaries, two logistic regressions.

Comparable to a shard in kind, lighter in everything: 16 one-hot features for our 25 (and no dense ones, no factors),
one noise signal for our dozen, one message per event and none when a label settles, no bound on the tables, and no
state that would survive a crash.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import msgspec
from river import linear_model, optim

WINDOW_MS = 86_400_000
REMEMBERED_IDS = 1 << 18
RATE_PRIOR = 30.0
SAMPLES = frozenset({"impression", "view", "click"})
W_MIN, W_MAX = 1e-3, 10.0

Features = dict[str, float]


class StockEvent(msgspec.Struct):
    """What is read of an event."""

    event_id: str
    user_id: str
    item_id: str
    event_type: str
    timestamp_ms: int
    category_id: str = ""


@dataclass(slots=True)
class User:
    """What is remembered of a user."""

    views: int = 0
    buys: int = 0
    events: int = 0
    last_ms: int = 0
    last_type: str = ""
    last_item: str = ""
    gap_mean: float = 0.0
    gap_var: float = 1.0


@dataclass(slots=True)
class Interactions:
    """Views, carts and purchases of an item or a category."""

    views: int = 0
    carts: int = 0
    buys: int = 0

    def lift(self, base: float) -> float:
        """Log of the conversion rate against everybody's."""
        return math.log((self.buys + RATE_PRIOR * base) / (self.views + RATE_PRIOR) / base)


@dataclass(slots=True)
class Pair:
    """What is remembered of a user and an item."""

    views: int = 0
    last_ms: int = 0
    cart: bool = False
    favorite: bool = False
    bought: bool = False


@dataclass(slots=True, eq=False)
class OpenView:
    """A sample that waits for its label."""

    at_ms: int
    pair: tuple[str, str]
    features: Features
    weight: float
    label: bool = False


def _twin() -> linear_model.LogisticRegression:
    return linear_model.LogisticRegression(optim.SGD(0.05))  # River's cheapest optimiser


@dataclass(slots=True)
class StockJob:
    """All state of one partition; ``handle`` turns a record into the message to publish."""

    weighted: Any = field(default_factory=_twin)
    uniform: Any = field(default_factory=_twin)
    users: dict[str, User] = field(default_factory=lambda: defaultdict(User))
    items: dict[str, Interactions] = field(default_factory=lambda: defaultdict(Interactions))
    categories: dict[str, Interactions] = field(default_factory=lambda: defaultdict(Interactions))
    pairs: dict[tuple[str, str], Pair] = field(default_factory=lambda: defaultdict(Pair))
    total: Interactions = field(default_factory=Interactions)
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    waiting: dict[tuple[str, str], list[OpenView]] = field(default_factory=lambda: defaultdict(list))
    by_time: deque[OpenView] = field(default_factory=deque)
    clock_ms: int = 0
    mean_weight: float = 1.0
    settled: int = 0
    decode: Any = field(default_factory=lambda: msgspec.json.Decoder(StockEvent).decode)
    encode: Any = field(default_factory=lambda: msgspec.json.Encoder().encode)

    def handle(self, value: bytes | None) -> bytes:
        """One message per record: what was weighed, or why it was not."""
        try:
            event = self.decode(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return bytes(self.encode({"dead_letter": str(error)}))
        if event.event_id in self.seen:
            return bytes(self.encode({"duplicate": event.event_id}))
        self.seen[event.event_id] = None
        if len(self.seen) > REMEMBERED_IDS:
            self.seen.popitem(last=False)
        self.clock_ms = max(self.clock_ms, event.timestamp_ms)
        self._settle()
        return bytes(self.encode(self._weigh(event)))

    def _settle(self) -> None:
        while self.by_time and self.by_time[0].at_ms + WINDOW_MS <= self.clock_ms:
            view = self.by_time.popleft()
            self.waiting[view.pair].remove(view)
            if not self.waiting[view.pair]:
                del self.waiting[view.pair]
            self.settled += 1

    def _weigh(self, event: StockEvent) -> dict[str, Any]:
        """Score before learning, then learn and count."""
        user, pair = self.users[event.user_id], self.pairs[event.user_id, event.item_id]
        item, category = self.items[event.item_id], self.categories[event.category_id]
        features = self._features(event, user, item, category, pair)
        p = self.weighted.predict_proba_one(features)[True]
        p_uniform = self.uniform.predict_proba_one(features)[True]
        noise = self._noise(event, user)
        weight, log_normaliser = self._weight(noise, p)
        if event.event_type in SAMPLES:
            self._open(event, features, weight)
        elif event.event_type == "purchase":
            self._convert(event)
        self._count(event, user, item, category, pair)
        return {
            "event_id": event.event_id,
            "event_type": event.event_type,
            "event_time_ms": event.timestamp_ms,
            "user_id": event.user_id,
            "item_id": event.item_id,
            "probability": p,
            "probability_uniform": p_uniform,
            "noise_probability": noise,
            "weight": weight,
            "f_normaliser": log_normaliser,
        }

    def _features(
        self, event: StockEvent, user: User, item: Interactions, category: Interactions, pair: Pair
    ) -> Features:
        base = (self.total.buys + 1.0) / (self.total.views + 50.0)
        now, seen = event.timestamp_ms, min(pair.views, 7)
        gap, since = _age_bin(now - user.last_ms), _age_bin(now - pair.last_ms)
        state = pair.cart + 2 * pair.favorite + 4 * pair.bought
        user_lift = round(2 * Interactions(user.views, 0, user.buys).lift(base))
        item_lift, category_lift = round(2 * item.lift(base)), round(2 * category.lift(base))
        return {
            f"event_type={event.event_type}": 1.0,
            f"pair_recency={seen},{since}": 1.0,
            f"pair_user_gap={seen},{gap}": 1.0,
            f"pair_state={seen},{state}": 1.0,
            f"last_event={user.last_type},{user.last_item == event.item_id}": 1.0,
            f"user_activity={_count_bin(user.events)}": 1.0,
            f"user_history={_count_bin(user.views)},{_count_bin(user.buys)}": 1.0,
            f"user_lift={user_lift}": 1.0,
            f"user_lift_seen={user_lift},{seen}": 1.0,
            f"category={event.category_id}": 1.0,
            f"category_lift={category_lift},{seen}": 1.0,
            f"category_volume={_count_bin(category.views)},{_count_bin(category.buys)}": 1.0,
            f"item_lift={item_lift},{_count_bin(item.views)}": 1.0,
            f"item_lift_seen={item_lift},{seen}": 1.0,
            f"item_actions={_count_bin(item.carts)},{_count_bin(item.buys)}": 1.0,
            f"cart_gap={pair.cart},{gap}": 1.0,
        }

    def _noise(self, event: StockEvent, user: User) -> float:
        """How much too regular the account's gaps are."""
        if user.last_ms == 0:
            return 0.1
        gap = math.log1p(max(event.timestamp_ms - user.last_ms, 0) / 1000.0)
        off = gap - user.gap_mean
        user.gap_mean += 0.1 * off
        user.gap_var += 0.1 * (off * off - user.gap_var)
        return 1.0 / (1.0 + math.exp(2.0 + 2.0 * math.log(user.gap_var + 1e-3)))

    def _weight(self, noise: float, p: float) -> tuple[float, float]:
        """Weight of running mean 1, and the log of what brought it there."""
        raw = (1.0 - noise) * (1.0 - p) / (1.0 - 0.5 * p)
        self.mean_weight += 0.001 * (raw - self.mean_weight)
        return min(max(raw / self.mean_weight, W_MIN), W_MAX), -math.log(self.mean_weight)

    def _open(self, event: StockEvent, features: Features, weight: float) -> None:
        """A view counts as a negative at once, and waits for its purchase."""
        self.weighted.learn_one(features, False, w=weight)
        self.uniform.learn_one(features, False)
        view = OpenView(event.timestamp_ms, (event.user_id, event.item_id), features, weight)
        self.waiting[view.pair].append(view)
        self.by_time.append(view)

    def _convert(self, event: StockEvent) -> None:
        for view in self.waiting.get((event.user_id, event.item_id), ()):
            if not view.label and view.at_ms <= event.timestamp_ms < view.at_ms + WINDOW_MS:
                view.label = True
                self.weighted.learn_one(view.features, True, w=view.weight)
                self.uniform.learn_one(view.features, True)

    def _count(self, event: StockEvent, user: User, item: Interactions, category: Interactions, pair: Pair) -> None:
        counters = (item, category, self.total)
        if event.event_type in SAMPLES:
            user.views += 1
            pair.views += 1
            for counter in counters:
                counter.views += 1
        elif event.event_type == "purchase":
            user.buys += 1
            pair.bought = True
            for counter in counters:
                counter.buys += 1
        elif event.event_type == "cart":
            item.carts += 1
            pair.cart = True
        elif event.event_type == "favorite":
            pair.favorite = True
        user.events += 1
        user.last_ms = pair.last_ms = event.timestamp_ms
        user.last_type, user.last_item = event.event_type, event.item_id


def _age_bin(ms: int) -> int:
    """Powers of four of seconds."""
    return min(int(math.log1p(max(ms, 0) / 1000.0) / math.log(4.0)), 12)


def _count_bin(n: int) -> int:
    return n.bit_length()
