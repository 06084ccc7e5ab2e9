"""Families of programmes: what each settles, and what it leaves to chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sie_online.behaviours.chance import Rng, about, happens, one_of, whole
from sie_online.behaviours.draft import Draft
from sie_online.behaviours.programme import MOST_ACCOUNTS, drawn, performed
from sie_online.behaviours.shop import Shop

Settled = Mapping[str, object]


def _mosaic(rng: Rng) -> Settled:
    """Every part at random: what nobody has a name for."""
    return {}


def _click_farm(rng: Rng) -> Settled:
    """People in shifts who click through a list for pay, many accounts, hardly any act."""
    return {
        "who": "new", "per_account": about(rng, 10, 300), "sitting": about(rng, 5, 60), "rhythm": "hours",
        "gap_ms": about(rng, 1_500, 30_000), "spread": rng.uniform(0.2, 0.9), "targets": whole(rng, 5, 120),
        "source": one_of(rng, "list", "target"), "deed": one_of(rng, "none", "act"), "deeds": rng.uniform(0, 0.05),
        "group_size": one_of(rng, whole(rng, 5, 40), MOST_ACCOUNTS), "cover": 0.0,
    }  # fmt: skip


def _view_inflation(rng: Rng) -> Settled:
    """Scripts that look at a few items over and over."""
    return {
        "who": "new", "per_account": about(rng, 3, 800), "source": "target", "targets": whole(rng, 1, 8),
        "repeats": one_of(rng, 0.0, rng.uniform(0.2, 0.8)), "deed": "none", "cover": 0.0,
        "decoys": one_of(rng, 0.0, rng.uniform(0, 0.3)),
    }  # fmt: skip


def _rank_boosting(rng: Rng) -> Settled:
    """Brushing: accounts of few events that look at a seller's items and convert."""
    return {
        "who": "new", "per_account": about(rng, 1, 12), "sitting": about(rng, 1, 4), "source": "target",
        "targets": whole(rng, 1, 25), "group_size": one_of(rng, whole(rng, 5, 60), MOST_ACCOUNTS),
        "rhythm": one_of(rng, "human", "flat", "hours", "waves"), "deed": one_of(rng, "conversion", "both"),
        "deeds": rng.uniform(0.3, 1.0), "deed_every": 1, "cover": one_of(rng, 0.0, rng.uniform(0.2, 1.0)),
    }  # fmt: skip


def _crawler(rng: Rng) -> Settled:
    """A few accounts that go through shelves or the catalogue from end to end."""
    return {
        "who": "new", "per_account": about(rng, 60, 3_000), "sitting": about(rng, 10, 500),
        "source": one_of(rng, "shelf_walk", "catalogue_walk"), "gap_ms": about(rng, 200, 60_000),
        "spread": one_of(rng, 0.02, rng.uniform(0.05, 0.9)), "decoys": 0.0, "deed": "none", "cover": 0.0,
        "rhythm": one_of(rng, "flat", "hours", "waves", "period"), "group_size": 1,
    }  # fmt: skip


def _price_monitor(rng: Rng) -> Settled:
    """Looks at the same list at intervals, for as long as it is there."""
    return {
        "who": "new", "per_account": about(rng, 30, 800), "sitting": about(rng, 2, 60), "rhythm": "period",
        "source": "list", "targets": whole(rng, 2, 60), "group_size": one_of(rng, 1, MOST_ACCOUNTS),
        "repeats": 0.0, "decoys": 0.0, "deed": "none", "cover": 0.0, "takeover": False,
    }  # fmt: skip


def _random_clicking(rng: Rng) -> Settled:
    """Accounts that click on anything in nearly human sessions, and now and then act on it."""
    return {
        "who": "new", "per_account": about(rng, 3, 150), "sitting": about(rng, 2, 25), "source": "uniform",
        "rhythm": one_of(rng, "human", "hours"), "gap_ms": one_of(rng, 0.0, about(rng, 3_000, 200_000)),
        "group_size": 1, "decoys": 0.0,
    }  # fmt: skip


def _trend_following(rng: Rng) -> Settled:
    """Accounts that look at what all look at, and act on it by lot."""
    return {
        "who": "new", "per_account": about(rng, 4, 200), "source": one_of(rng, "popular", "recent"),
        "rhythm": one_of(rng, "human", "flat", "waves"), "decoys": 0.0, "group_size": 1,
    }  # fmt: skip


def _lockstep(rng: Rng) -> Settled:
    """A group does the same with the same at nearly the same time."""
    return {
        "who": one_of(rng, "new", "new", "anyone"), "per_account": about(rng, 4, 80), "sitting": about(rng, 2, 15),
        "rhythm": "sync", "source": "list", "targets": whole(rng, 3, 60), "group_size": whole(rng, 4, 40),
        "unevenness": rng.uniform(0, 0.3), "takeover": False, "decoys": one_of(rng, 0.0, rng.uniform(0, 0.3)),
    }  # fmt: skip


def _relay(rng: Rng) -> Settled:
    """A group hands its targets on: each account does little, their items are never without visitors."""
    return {
        "who": "new", "per_account": about(rng, 1, 8), "sitting": about(rng, 1, 4), "unevenness": rng.uniform(0, 0.6),
        "rhythm": one_of(rng, "flat", "human"), "takeover": False, "source": "target", "targets": whole(rng, 1, 6),
        "group_size": whole(rng, 20, 200), "decoys": rng.uniform(0.1, 0.7), "deed": one_of(rng, "none", "act", "both"),
        "deeds": rng.uniform(0.01, 0.3),
    }  # fmt: skip


def _camouflaged_buyers(rng: Rng) -> Settled:
    """Accounts that live other people's sessions and in between convert on targets."""
    return {
        "who": "new", "per_account": about(rng, 1, 20), "sitting": about(rng, 1, 6), "rhythm": "human", "gap_ms": 0.0,
        "source": "target", "targets": whole(rng, 1, 40), "deed": one_of(rng, "conversion", "conversion", "both"),
        "deeds": rng.uniform(0.2, 1.0), "deed_every": 1, "cover": rng.uniform(1.0, 6.0), "cover_before": False,
    }  # fmt: skip


def _sleepers(rng: Rng) -> Settled:
    """Accounts with a human past that one day wake together and push targets."""
    return {
        "who": "new", "per_account": about(rng, 2, 60), "source": one_of(rng, "target", "list"),
        "rhythm": one_of(rng, "waves", "sync"), "targets": whole(rng, 1, 30), "takeover": False,
        "group_size": one_of(rng, whole(rng, 5, 40), MOST_ACCOUNTS), "cover": rng.uniform(0.5, 4.0),
        "cover_before": True, "deed": one_of(rng, "none", "act", "conversion", "both"),
    }  # fmt: skip


def _decoy_trails(rng: Rng) -> Settled:
    """Accounts that follow the steps people took from item to item; what they act on is drawn by lot."""
    return {
        "who": "new", "per_account": about(rng, 4, 200), "sitting": about(rng, 3, 40), "source": "trail",
        "rhythm": one_of(rng, "human", "hours", "flat"), "gap_ms": one_of(rng, 0.0, about(rng, 2_000, 100_000)),
        "group_size": 1, "deeds": rng.uniform(0.01, 0.5), "deed": one_of(rng, "none", "act", "conversion", "both"),
    }  # fmt: skip


def _hijacked_bursts(rng: Rng) -> Settled:
    """Accounts of active people do a stranger's bidding in a burst or two."""
    return {
        "who": "active", "per_account": about(rng, 3, 120), "sitting": about(rng, 3, 60), "cover": 0.0,
        "rhythm": one_of(rng, "waves", "sync", "flat"), "gap_ms": about(rng, 300, 60_000),
        "source": one_of(rng, "target", "list", "shelf", "uniform", "rare"),
    }  # fmt: skip


def _takeover(rng: Rng) -> Settled:
    """From a moment on an account is also somebody else's, who keeps the shop's hours and is after targets."""
    return {
        "who": "anyone", "per_account": about(rng, 3, 100), "sitting": about(rng, 1, 20), "takeover": True,
        "rhythm": one_of(rng, "human", "hours"), "gap_ms": one_of(rng, 0.0, about(rng, 2_000, 200_000)),
        "source": one_of(rng, "target", "rare", "uniform", "popular"), "cover": 0.0,
        "deed": one_of(rng, "none", "act", "conversion", "both"), "deeds": rng.uniform(0.05, 0.9),
    }  # fmt: skip


def _parasite(rng: Rng) -> Settled:
    """Something in the browser clicks along while its owner is there."""
    return {
        "who": one_of(rng, "anyone", "active"), "per_account": about(rng, 1, 40), "sitting": about(rng, 1, 3),
        "rhythm": "own", "source": one_of(rng, "target", "popular", "uniform", "shelf", "recent"), "takeover": False,
        "gap_ms": about(rng, 300, 20_000), "cover": 0.0, "deed": one_of(rng, "none", "none", "act"),
    }  # fmt: skip


def _dormant_takeover(rng: Rng) -> Settled:
    """Accounts whose owners are gone come back with habits that were never theirs."""
    return {
        "who": "dormant", "per_account": about(rng, 3, 200), "cover": 0.0,
        "rhythm": one_of(rng, "hours", "flat", "sync"),
        "source": one_of(rng, "target", "list", "shelf_walk", "popular", "copy"),
    }  # fmt: skip


def _cart_stuffing(rng: Rng) -> Settled:
    """Carts and lists are filled without a look at what goes into them."""
    return {
        "kind": "act", "who": one_of(rng, "new", "anyone"), "per_account": about(rng, 1, 80), "deed": "none",
        "source": one_of(rng, "target", "list", "popular", "shelf", "uniform"), "cover": one_of(rng, 0.0, 0.5, 1.5),
    }  # fmt: skip


def _fake_orders(rng: Rng) -> Settled:
    """Conversions out of nothing, on a seller's items."""
    return {
        "kind": "conversion", "who": one_of(rng, "new", "anyone"), "per_account": about(rng, 1, 10), "deed": "none",
        "sitting": about(rng, 1, 4), "source": one_of(rng, "target", "target", "uniform", "rare"),
        "targets": whole(rng, 1, 40), "cover": one_of(rng, 0.0, 1.0, 3.0),
    }  # fmt: skip


def _stolen_histories(rng: Rng) -> Settled:
    """What others did is done again, item by item, at a machine's pace."""
    return {
        "who": one_of(rng, "new", "new", "anyone"), "per_account": about(rng, 8, 300), "sitting": about(rng, 8, 120),
        "source": "copy", "gap_ms": about(rng, 300, 600_000), "spread": rng.uniform(0.02, 0.5), "decoys": 0.0,
        "repeats": 0.0, "cover": 0.0,
        "deed": one_of(rng, "none", "act", "conversion") if happens(rng, 0.5) else "none",
    }  # fmt: skip


Family = Callable[[Shop, Rng, int], Draft]


def _family(settle: Callable[[Rng], Settled]) -> Family:
    def family(shop: Shop, rng: Rng, budget: int) -> Draft:
        return performed(shop, rng, drawn(shop, rng, **settle(rng)), budget)

    return family


PROGRAMMES: dict[str, Family] = {
    settle.__name__.removeprefix("_"): _family(settle)
    for settle in (
        _mosaic, _click_farm, _view_inflation, _rank_boosting, _crawler, _price_monitor, _random_clicking,
        _trend_following, _lockstep, _relay, _camouflaged_buyers, _sleepers, _decoy_trails, _hijacked_bursts,
        _takeover, _parasite, _dormant_takeover, _cart_stuffing, _fake_orders, _stolen_histories,
    )
}  # fmt: skip
