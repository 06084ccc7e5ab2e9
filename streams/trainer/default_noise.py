"""The noise model that serves until a shop's own is fitted: fitted on generated shops, with random behaviours mixed in.

Written to the package by ``python -m streams.trainer.default_noise``; the same shops and seed give the same model on
the same machine. What is ordinary differs from shop to shop, so the model starts from the median of them all, with a
scale that covers their differences, and believes its shop soon.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.noise.examples import Examples, joined, sampled
from models.noise.fitting import fit
from models.noise.forward import logits
from models.noise.mixing import fit_mix
from models.settings import NoiseFit
from sie_online.behaviours import ALL, columns_of, log_of, mix, roles_of
from sie_online.importance.noise.evidence import N_SIGNALS
from sie_online.importance.noise.model import DEFAULT, N_HEADS, NoiseArrays, neutral_noise, new_noise
from sie_online.ingest.events import EVENT
from sie_online.settings import Settings
from sie_online.shard.trace import FIRST_SUPPORT, Reference, mixed, reference, trace
from sie_online.simulator.shops import random_shop
from streams.trainer.noise_fit import Examined, examples_of, ordinary_ratios, thinned

log = logging.getLogger(__name__)

SHARE = 0.01
"""Of noise, presumed at the start."""
ROWS_PER_MIXTURE = 2_000
BELIEF = np.array([1.0, 1.0, 0.6], np.float32)
"""How far the log likelihood ratios of each head are believed: what orders look like differs most between shops."""
SPREAD = 1.4826  # standard deviation of a normal over its median absolute deviation


class Mixed(NamedTuple):
    """One mixture's examples; all of it, for the second stage, where it is a shop's first."""

    first: Examples
    examined: Examined | None


def columns_of_shop(seed: int) -> NDArray[np.void]:
    """The decoded log of a random shop."""
    shop = random_shop(seed)
    columns = np.zeros(len(shop.user), EVENT)
    for optional in ("position", "propensity", "price", "dwell_ms", "rating"):
        columns[optional] = np.nan
    columns["time_ms"], columns["etype"] = shop.time_ms, shop.etype
    columns["offset"] = np.arange(len(columns))
    columns["event_key"] = np.arange(1, len(columns) + 1)
    for name, codes in (("user_key", shop.user), ("item_key", shop.item), ("category_key", shop.category)):
        columns[name] = spread(codes)
    return columns


def spread(codes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of small codes that are as good as hashes: splitmix64 (Steele, Lea & Flood 2014)."""
    keys = (codes.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(keys ^ (keys >> np.uint64(31)))


def ordinary_everywhere(references: Sequence[Reference]) -> dict[str, NDArray[np.float32]]:
    """What is ordinary in shops unknown: the median, and a scale that covers how far they lie apart."""
    location = np.stack([each.location for each in references])
    middle = np.median(location, axis=0)
    apart = SPREAD * np.median(np.abs(location - middle), axis=0)
    scale = np.median(np.stack([each.scale for each in references]), axis=0) + apart
    return {
        "location": middle.astype(np.float32),
        "scale": scale.astype(np.float32),
        "support": np.full(len(middle), FIRST_SUPPORT, np.float32),
        "share": np.full(N_HEADS, SHARE, np.float32),
    }


def _reference(seed: int) -> Reference:
    return reference(Settings(), columns_of_shop(seed), neutral_noise())


def _mixture(shop: int, number: int, model: NoiseArrays) -> Mixed:
    columns, settings = columns_of_shop(shop), Settings()
    decoded = log_of(columns)
    roles = roles_of(settings.labels.samples, settings.labels.conversions)
    mixture = mix(decoded.log, roles, seed=1_000 * shop + number, families=ALL)
    seen = trace(settings, columns_of(mixture, decoded, columns), model)
    examined = Examined(seen, mixture.behaviour[seen.row], mixture)
    group, rng = 100 * shop + number, np.random.default_rng([shop, number])
    first = sampled(thinned(examples_of(examined, group), rng), ROWS_PER_MIXTURE, group)
    return Mixed(first, examined if number == 0 else None)


def fit_default(shops: int, mixtures: int, fitting: NoiseFit, processes: int) -> dict[str, NDArray[np.float32]]:
    """The tensors of a model fitted on so many random shops, with so many mixtures of each."""
    with ProcessPoolExecutor(processes) as pool:
        standard = ordinary_everywhere(list(pool.map(_reference, range(shops))))
        model = neutral_noise()._replace(**standard)
        asked = [(shop, number) for shop in range(shops) for number in range(mixtures)]
        firsts, seconds = [], []
        for at, one in enumerate(pool.map(_mixture, *zip(*asked, strict=True), [model] * len(asked))):
            firsts.append(one.first)
            if one.examined is not None:
                seconds.append((at, one.examined))
            log.info("mixture %d of %d", at + 1, len(asked))
    tensors = fit(joined(firsts), fitting)
    parts = []
    for at, examined in seconds:
        seen = examined.trace
        own = logits(tensors, seen.evidence, seen.head, seen.events)
        both = thinned(examples_of(examined, at)._replace(evidence=mixed(seen, own)), np.random.default_rng(at))
        parts.append(sampled(both, ROWS_PER_MIXTURE, at))
    all_ = joined(parts)
    tensors["mix"] = fit_mix(all_.evidence, all_.head, all_.noise, all_.innocent, all_.group, fitting)
    tensors["mix"] *= BELIEF[:, None]
    tensors["ordinary"] = ordinary_ratios(tensors, [(one.trace, one.behaviour == 0) for _, one in seconds])
    return tensors | standard


def main() -> None:
    """Fit the default and write it where the package has it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=60, help="random shops")
    parser.add_argument("--mixtures", type=int, default=3, help="mixtures of each")
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    parser.add_argument("--out", type=Path, default=DEFAULT, help="file to write")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    tensors = fit_default(given.shops, given.mixtures, NoiseFit(device="cpu"), given.processes)
    np.savez_compressed(given.out, **new_noise(tensors, N_SIGNALS)._asdict())


if __name__ == "__main__":
    main()
