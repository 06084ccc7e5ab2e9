"""One fit of the noise model on a shop's own log: synchronous, writes nothing.

A log that a model is to be fitted on is polluted already. So the accounts that the model in force suspects are left
out of what counts as ordinary, a first model is fitted on the rest with random behaviours mixed in, and once more on
the rest by its own judgement: without that, whatever pollutes the log would be learned as ordinary.

Owns what an example is: which events of which mixture, how ordinary ones are drawn (by accounts, not by events), and
what the candidate shows on families of behaviour that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import StoppedError
from models.noise.examples import Examples, joined, sampled
from models.noise.fitting import fit
from models.noise.forward import log_ratios, logits
from models.noise.gate import NoiseFigures
from models.noise.mixing import fit_mix
from models.tune import Progress
from sie_online.behaviours import INNOCENT, POLLUTING, Mixture, columns_of, log_of, mix, roles_of
from sie_online.importance.noise.evidence import N_SIGNALS
from sie_online.importance.noise.model import N_HEADS, NoiseArrays, new_noise
from sie_online.importance.noise.share import HALF_MASS_EVENTS
from sie_online.importance.noise.share import MAX_SHARE as MOST_SHARE
from sie_online.importance.noise.share import MIN_SHARE as LEAST_SHARE
from sie_online.metrics import auc
from sie_online.settings import Settings
from sie_online.shard.trace import Trace, mixed, reference, trace
from streams.trainer.plan import noise_fit_of

Columns = NDArray[np.void]
Tensors = dict[str, NDArray[np.float32]]

ROUNDS = 2
SUSPECT = 3.5  # robust standard deviations above the median account from which on one is left out ...
MOST_SUSPECTS = 0.2  # ... if it is among this share of all accounts
NORMAL = 1.4826  # standard deviation of a normal over its median absolute deviation
RATIO_CAP = 4.0  # one event alone makes no suspect
HALF_ACCOUNT = 8.0  # an account's n-th ordinary event is drawn with probability 8 / (8 + n)
FEWEST_EVENTS = 20  # of a behaviour, for an AUC
HELD_OUT_SHARE = 1 / 3  # of the families


class Examined(NamedTuple):
    """A mixture as the shard sees it."""

    trace: Trace
    behaviour: NDArray[np.int64]  # (n,), of the trace's rows: 0: as it was, k > 0: behaviours[k - 1]
    mixture: Mixture


@dataclass(frozen=True)
class Fitted:
    """A candidate, what it and the model in force show on families held out, and rows for a canary."""

    tensors: Tensors
    candidate: NoiseFigures
    current: NoiseFigures
    canary: Examples
    events: int
    suspects: int


def fit_noise(
    columns: Columns,
    current: NoiseArrays,
    settings: Settings,
    *,
    on_progress: Callable[[str, float], None] = lambda _what, _share: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Fitted:
    """Fit on ``columns`` (dtype `EVENT`, in the log's order), from ``current`` on. Equal inputs, equal bits on a CPU.

    Raises:
        TrainingError: it was given up; its subclass says why. ValueError: the log is too short to be mixed into.
    """
    fitter = _Fitter(columns, current, settings, on_progress, should_stop)
    kept, apart = fitter.families()
    candidate = fitter.fitted(kept)
    shown = fitter.figures(candidate, apart), fitter.figures(current, apart)
    final = fitter.fitted((*kept, *apart), start=candidate)
    return Fitted(final._asdict(), *shown, fitter.canary, len(columns), fitter.suspects)


class _Fitter:
    """The log, and what all steps of a fit share."""

    def __init__(
        self,
        columns: Columns,
        current: NoiseArrays,
        settings: Settings,
        on_progress: Callable[[str, float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.canary: Examples
        self.suspects = 0
        self._columns, self._current, self._settings = columns, current, settings
        self._rules, self._fitting = settings.trainer.noise, noise_fit_of(settings)
        self._on_progress, self._should_stop = on_progress, should_stop
        self._roles = roles_of(settings.labels.samples, settings.labels.conversions)

    def families(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those to fit on first, and those to judge by."""
        order = np.random.default_rng([self._fitting.seed, len(self._columns)]).permutation(len(POLLUTING))
        apart = max(1, round(HELD_OUT_SHARE * len(POLLUTING)))
        named = [POLLUTING[at] for at in order.tolist()]
        return tuple(sorted(named[apart:])), tuple(sorted(named[:apart]))

    def fitted(self, families: Sequence[str], start: NoiseArrays | None = None) -> NoiseArrays:
        """A model fitted on mixtures of ``families`` and of all innocent behaviours."""
        model, rounds = (self._current, range(ROUNDS)) if start is None else (start, range(ROUNDS - 1, ROUNDS))
        for round_ in rounds:
            model = self._round(model, (*families, *INNOCENT), round_)
        return model

    def _round(self, model: NoiseArrays, families: Sequence[str], round_: int) -> NoiseArrays:
        base = self._columns[~self._suspected(model)]
        ordinary = reference(self._settings, base, model)
        standard = model._replace(**ordinary._asdict())
        newest = base[-self._rules.mixture_events :]
        rng = np.random.default_rng([self._fitting.seed, round_, 1])
        parts, mixes = [], []
        examined = self._examined(newest, standard, families, first_seed=1_000 * round_)
        for number, one in enumerate(examined):
            examples = thinned(examples_of(one, number), rng)
            parts.append(sampled(examples, self._rules.examples // self._rules.mixtures, number))
            if number % 2 == 0:
                mixes.append((one.trace, number, one))
        chosen = joined(parts)
        tensors = fit(chosen, self._fitting, on_progress=self._told, should_stop=self._should_stop)
        self.canary = chosen.take(np.linspace(0, len(chosen.head) - 1, 64).astype(np.int64))
        tensors["mix"] = self._mix(tensors, mixes, rng)
        known = {**tensors, **ordinary._asdict()}
        known["share"] = self._share(new_noise({**known, "share": np.full(N_HEADS, LEAST_SHARE)}, N_SIGNALS))
        return new_noise(known, N_SIGNALS)

    def _share(self, model: NoiseArrays) -> NDArray[np.float32]:
        """How common noise is in the log, by head, as ``model`` judges it: accounts count more than their events."""
        log = trace(self._settings, self._columns, model)
        mass = _mass(log.events)
        noise, all_ = (np.bincount(log.head, each, minlength=N_HEADS) for each in (mass * log.probability, mass))
        share = np.divide(noise, all_, out=np.zeros(N_HEADS), where=all_ > 0)
        return np.clip(share, LEAST_SHARE, MOST_SHARE).astype(np.float32)

    def _mix(
        self, tensors: Tensors, mixes: Sequence[tuple[Trace, int, Examined]], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """The second stage, of every other mixture."""
        parts = []
        for log, number, one in mixes:
            own = logits(tensors, log.evidence, log.head, log.events)
            both = thinned(examples_of(one, number)._replace(evidence=mixed(log, own)), rng)
            parts.append(sampled(both, self._rules.examples // self._rules.mixtures, number))
        all_ = joined(parts)
        return fit_mix(all_.evidence, all_.head, all_.noise, all_.innocent, all_.group, self._fitting)

    def _suspected(self, model: NoiseArrays) -> NDArray[np.bool_]:
        """Which rows of the log are of accounts that ``model`` suspects."""
        log = trace(self._settings, self._columns, model)
        ratio = log_ratios(model.mix, mixed(log, log.logit), log.head)
        mean = np.bincount(log.user, np.clip(ratio, -RATIO_CAP, RATIO_CAP)) / np.bincount(log.user)
        middle = np.median(mean)
        spread = NORMAL * np.median(np.abs(mean - middle))
        suspects = mean > max(middle + SUSPECT * spread, float(np.quantile(mean, 1 - MOST_SUSPECTS)))
        self.suspects = int(suspects.sum())
        found = np.zeros(len(self._columns), np.bool_)
        found[log.row] = suspects[log.user]
        return found

    def _examined(
        self, base: Columns, model: NoiseArrays, families: Sequence[str], first_seed: int
    ) -> Iterator[Examined]:
        """Mixtures over ``base``, one after another, under ``model``'s standardisation."""
        decoded = log_of(base)
        for number in range(self._rules.mixtures):
            if self._should_stop():
                raise StoppedError("the fit was stopped")
            self._on_progress("mixing", number / self._rules.mixtures)
            seed = (self._fitting.seed << 20) + first_seed + number
            mixture = mix(decoded.log, self._roles, seed, families=families)
            seen = trace(self._settings, columns_of(mixture, decoded, base), model)
            yield Examined(seen, mixture.behaviour[seen.row], mixture)

    def figures(self, model: NoiseArrays, families: Sequence[str]) -> NoiseFigures:
        """What ``model`` shows on mixtures of ``families`` that it was not fitted on, and on the log as it is."""
        newest = self._columns[-self._rules.mixture_events :]
        detected: dict[str, list[float]] = {family: [] for family in families}
        innocent, taken, lost = [], [], []
        for one in self._examined(newest, model, (*families, *INNOCENT), first_seed=900_000):
            for number, behaviour in enumerate(one.mixture.behaviours, 1):
                rows = one.behaviour == number
                if not behaviour.polluting:
                    innocent.append(float(one.trace.probability[rows].mean()))
                elif rows.sum() >= FEWEST_EVENTS:
                    taken.append(float(one.trace.cautious[rows].mean()))
                    against = rows | (one.behaviour == 0)
                    detected[behaviour.family].append(auc(rows[against], one.trace.probability[against]))
            lost.append(float(one.trace.cautious[one.behaviour == 0].mean()))
        known = {family: float(np.mean(found)) for family, found in detected.items() if found}
        clean = float(trace(self._settings, newest, model).probability.mean())
        gain = (float(np.mean(taken)) if taken else np.nan) - float(np.mean(lost))
        return NoiseFigures(known, float(np.mean(innocent)) if innocent else 0.0, clean, gain)

    def _told(self, progress: Progress) -> None:
        self._on_progress(f"fitting, {progress.note}", progress.epoch / progress.epochs)


def examples_of(one: Examined, number: int) -> Examples:
    """Every event of a mixture as an example; groups of different mixtures have different numbers."""
    polluting = np.array([False, *(each.polluting for each in one.mixture.behaviours)])[one.behaviour]
    group = number * 1_000 + one.behaviour
    return Examples(
        one.trace.evidence, one.trace.head, one.trace.events, polluting, (one.behaviour > 0) & ~polluting, group
    )


def _mass(events: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(HALF_MASS_EVENTS / (HALF_MASS_EVENTS + events), np.float64)


def thinned(examples: Examples, rng: np.random.Generator) -> Examples:
    """With fewer ordinary events of the accounts that have many: a few crawlers would be most of what is ordinary."""
    ordinary = ~(examples.noise | examples.innocent)
    kept = np.where(ordinary, HALF_ACCOUNT / (HALF_ACCOUNT + examples.events), 1.0)
    return examples.take(rng.random(len(kept)) < kept)
