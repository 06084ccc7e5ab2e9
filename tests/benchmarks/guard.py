"""How often the guard is wrong, and how soon it is right: ``python -m tests.benchmarks.guard``. On one core.

*Null*: streams of judged views in which the weights neither harm nor help, with accounts of very different sizes whose
views depend on each other; the share of streams in which strength is ever cut must not exceed ``guard.alpha``.
*Weightings*: both twins over generated shops with weightings whose worth is known; how many judged views until the cut.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.contracts import SAMPLE_TYPES
from sie_online.features import FACTOR_COLUMNS, N_FEATURES, FeatureConfig
from sie_online.importance.guard import (
    ESTABLISHED_ACTS,
    ESTABLISHED_EVENTS,
    ESTABLISHED_MS,
    HARM,
    HELP,
    LOOKS,
    bet,
    guard_of,
    judge,
    log_evidence,
)
from sie_online.jit import kernel
from sie_online.recommender.kernels import RecommenderConfig, learn, new_model, predict
from sie_online.settings import Guard
from sie_online.shard.entities import POPULATION, USERS
from sie_online.simulator import Scenario, Simulation, simulate
from tests.benchmarks import BENCH
from tests.benchmarks.machine import describe
from tests.support.simulation import samples_of

RESULT = BENCH / "guard.json"
ACCOUNTS = 800
SIZE_POWER = 1.0
"""The k-th account has views in proportion to k^-1: the largest has a seventh of all."""
INDEPENDENT, DAILY, AGREEING, SKEWED = range(4)
NULLS = ("every view by itself", "one sign per account and day", "one sign per account", "one sign, rare large losses")
VIEWS_PER_DAY = 5_000
LARGE_LOSS = 9.0
"""How much larger than the gains the losses are where they are rare."""

PERFECT, INVERTED, PROBABILITY, RANDOM, UNIFORM = range(5)
WEIGHTINGS = ("perfect", "inverted", "probability", "random", "uniform")


@kernel
def null_stream(
    cfg: Any, kind: int, seed: int, views: int, population: Any, users: Any, edges: Any, sign: Any, size: Any
) -> int:
    """Judged views until the cut of a stream without any effect, 0 if there was none."""
    np.random.seed(seed)
    scale = math.exp(np.random.normal(-3.5, 1.0))  # of the gains: the streams differ, and so do their accounts
    n = users.shape[0]
    for account in range(n):
        size[account] = scale * math.exp(np.random.normal(0.0, 1.0))
    for view in range(views):
        if view == 0 or (kind == DAILY and view % VIEWS_PER_DAY == 0):
            for account in range(n):
                sign[account] = _sign(kind)
        account = _drawn(edges)
        if kind == INDEPENDENT:
            sign[account] = _sign(kind)
        gain = sign[account] * size[account] * np.random.exponential()
        bet(cfg, population, users[account], min(1.0, max(-1.0, gain)))
        if population.guard_is_cut != 0:
            return view + 1
    return 0


@kernel
def _drawn(edges: Any) -> int:
    """An account by its share: the first whose edge is not below a number drawn."""
    at, low, high = np.random.random() * edges[edges.shape[0] - 1], 0, edges.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if edges[middle] < at:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _sign(kind: int) -> float:
    """Of mean 0."""
    if kind == SKEWED:
        return -1.0 if np.random.random() < 1.0 / (1.0 + LARGE_LOSS) else 1.0 / LARGE_LOSS
    return 1.0 if np.random.random() < 0.5 else -1.0


class Null(NamedTuple):
    """What became of null streams."""

    name: str
    streams: int
    alarms: int
    mean_evidence: float


def null(kind: int, streams: int, views: int, settings: Guard) -> Null:
    """``streams`` streams of ``views`` judged views of one kind."""
    edges = np.cumsum(np.arange(1, ACCOUNTS + 1) ** -SIZE_POWER)
    scratch = np.zeros((2, ACCOUNTS))
    alarms, evidence = 0, 0.0
    for seed in range(streams):
        population, users = np.zeros(1, POPULATION), np.zeros(ACCOUNTS, USERS)
        cut = null_stream(guard_of(settings), kind, seed, views, population[0], users, edges, *scratch)
        alarms += cut > 0
        evidence += 1.0 / settings.alpha if cut else float(population["guard_evidence"][0, HARM])
    return Null(NULLS[kind], streams, alarms, evidence / streams)


class Shop(NamedTuple):
    """Settled samples of a generated shop, in order of settling; all of length n."""

    features: NDArray[np.uint32]
    label: NDArray[np.int64]
    account: NDArray[np.int64]
    established: NDArray[np.bool_]
    noise: NDArray[np.bool_]
    dice: NDArray[np.float64]


def shop(events: int, hours: float, seed: int) -> Shop:
    """A generated shop through one shard; truth and accounts' histories beside its samples."""
    stream = simulate(Scenario(events=events, seed=seed, hours=hours)).without_duplicates()
    samples = pa.Table.from_batches(samples_of(stream, window_s=86_400.0))
    history = established(stream)
    row = np.array([history[name] for name in samples["event_id"].to_pylist()])
    features = samples["features"].combine_chunks()
    return Shop(
        features=np.ascontiguousarray(features.flatten().to_numpy().reshape(len(samples), N_FEATURES)),
        label=samples["label"].to_numpy().astype(np.int64),
        account=np.unique(samples["user_hash"].to_numpy(), return_inverse=True)[1],
        established=row[:, 0],
        noise=row[:, 1],
        dice=np.random.default_rng(seed).random(len(samples)),
    )


def established(stream: Simulation) -> dict[str, tuple[bool, bool]]:
    """By event: whether its account was established, and whether it is noise."""
    table = stream.table()
    kinds = dict(zip(stream.truth["event_id"].to_pylist(), stream.truth["kind"].to_pylist(), strict=True))
    seen: dict[str, tuple[int, int, int]] = {}
    found = {}
    columns = (table[name].to_pylist() for name in ("event_id", "user_id", "event_type", "timestamp_ms"))
    for event, user, kind, at_ms in zip(*columns, strict=True):
        events, acts, first = seen.get(user, (0, 0, at_ms))
        old = events >= ESTABLISHED_EVENTS and acts >= ESTABLISHED_ACTS and at_ms - first > ESTABLISHED_MS
        found[event] = (old, kinds[event] != "clean")
        seen[user] = (events + 1, acts + (kind not in SAMPLE_TYPES), first)
    return found


@kernel
def weighting(cfg: Any, rec: Any, model: Any, kind: int, shop: Any, population: Any, users: Any, out: Any) -> None:
    """Both twins over a shop; ``out``: judged views, at the cut (0: none), at the proof of help (0: none), least s."""
    total, n = 1.0, 1.0
    for at in range(shop.label.shape[0]):
        idx, label = shop.features[at], shop.label[at]
        p, q = predict(rec, model, 0, idx).probability, predict(rec, model, 1, idx).probability
        weight = _weight(kind, shop.noise[at], p, shop.dice[at])
        total, n = total + weight, n + 1.0
        if shop.established[at]:
            judge(cfg, population, users[shop.account[at]], label, p, q)
            out[0] += 1
            out[3] = min(out[3], 1.0 - population.guard_withheld)
            if out[1] == 0 and population.guard_is_cut != 0:
                out[1] = out[0]
            if out[2] == 0 and log_evidence(population, HELP) >= cfg.log_bound:
                out[2] = out[0]
        learn(rec, model, 0, idx, float(label), 1.0)
        learn(rec, model, 1, idx, float(label), weight * n / total)


@kernel
def _weight(kind: int, noise: bool, p: float, dice: float) -> float:
    if kind == PERFECT:
        return 0.0 if noise else 1.0
    if kind == INVERTED:
        return 1.0 if noise else 0.05
    if kind == PROBABILITY:
        return p
    return dice**3 if kind == RANDOM else 1.0


class Outcome(NamedTuple):
    """What the guard made of one weighting of several shops; views are judged ones, NaN where it never happened."""

    name: str
    judged: NDArray[np.float64]
    cut: NDArray[np.float64]
    helped: NDArray[np.float64]
    least_strength: float


def outcome(kind: int, shops: list[Shop], settings: Guard) -> Outcome:
    """Weighting ``kind`` over all ``shops``."""
    found = np.zeros((len(shops), 4))
    found[:, 3] = 1.0
    for out, one in zip(found, shops, strict=True):
        model = new_model(RecommenderConfig(), N_FEATURES, FACTOR_COLUMNS, dim=FeatureConfig().dim)
        population, users = np.zeros(1, POPULATION), np.zeros(int(one.account.max()) + 1, USERS)
        weighting(guard_of(settings), RecommenderConfig(), model, kind, one, population[0], users, out)
    cut, helped = np.where(found[:, 1:3] > 0, found[:, 1:3], np.nan).T
    return Outcome(WEIGHTINGS[kind], found[:, 0], cut, helped, float(found[:, 3].min()))


def lines(nulls: list[Null], outcomes: list[Outcome], settings: Guard) -> Iterator[str]:
    """The tables."""
    yield f"{'null: an account is':<32}{'streams':>9}{'alarms':>8}{'share':>9}   alpha = {settings.alpha:g}"
    for one in nulls:
        yield f"{one.name:<32}{one.streams:>9,}{one.alarms:>8,}{one.alarms / max(1, one.streams):>9.4f}"
    yield ""
    yield (
        f"{'weights':<14}{'shops':>6}{'judged':>9}{'cut':>5}{'median':>9}{'95 %':>9}{'least s':>9}"
        f"{'helped':>8}{'median':>9}"
    )
    for each in outcomes:
        yield (
            f"{each.name:<14}{len(each.judged):>6}{np.median(each.judged):>9,.0f}"
            f"{np.isfinite(each.cut).sum():>5}{_at(each.cut, 0.5)}{_at(each.cut, 0.95)}{each.least_strength:>9.2f}"
            f"{np.isfinite(each.helped).sum():>8}{_at(each.helped, 0.5)}"
        )


def _at(views: NDArray[np.float64], share: float) -> str:
    """A quantile of ``views`` where never counts as infinite."""
    value = float(np.quantile(np.where(np.isfinite(views), views, np.inf), share, method="higher"))
    return f"{value:>9,.0f}" if math.isfinite(value) else f"{'never':>9}"


def main() -> None:
    """Measure and print; JSON beside."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.guard", description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000, help="null streams of each kind")
    parser.add_argument("--views", type=int, default=20_000, help=f"judged views of each; a round has {LOOKS[-1]:,}")
    parser.add_argument("--shops", type=int, default=5)
    parser.add_argument("--events", type=int, default=150_000, help="of each shop")
    parser.add_argument("--hours", type=float, default=240.0, help="of event time of each shop")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    settings, nulls, shops = Guard(), [], []
    for kind, name in enumerate(NULLS):
        print(f"null, {name} ...", flush=True)
        nulls.append(null(kind, given.streams, given.views, settings))
    for seed in range(given.shops):
        print(f"shop {seed + 1} of {given.shops} ...", flush=True)
        shops.append(shop(given.events, given.hours, seed))
    outcomes = [outcome(kind, shops, settings) for kind in range(len(WEIGHTINGS))] if shops else []
    print("", *lines(nulls, outcomes, settings), sep="\n")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "machine": describe(),
        "views": given.views,
        "null": [one._asdict() for one in nulls],
        "weightings": [
            {"name": one.name, "judged": one.judged.tolist(), "least_strength": one.least_strength}
            | {name: [None if math.isnan(at) else at for at in getattr(one, name)] for name in ("cut", "helped")}
            for one in outcomes
        ],
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
