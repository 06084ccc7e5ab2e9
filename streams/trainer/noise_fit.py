"""One fit of the noise model on a shop's own log: synchronous, writes nothing.

A log that a model is to be fitted on is polluted already. What the model in force suspects in it (``suspects``) is
left out of what counts as ordinary; what it is sure of is noise to learn from, beside random behaviours mixed into the
rest. And a fit goes half way from the weights in force: one shop's log shows fewer kinds of noise than they have met.
Without either, whatever pollutes the log would be learned as ordinary.

Owns what an example is: which events of which mixture, how ordinary ones are drawn (by accounts, not by events), and
what the candidate shows on families of behaviour that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import StoppedError
from models.noise.examples import Examples, joined, sampled
from models.noise.fitting import averaged, fit
from models.noise.forward import log_ratios, logits
from models.noise.gate import NoiseFigures, together
from models.noise.mixing import fit_mix
from models.tune import Progress
from sie_online.behaviours import ALL, INNOCENT, POLLUTING, Mixture, columns_of, log_of, mix, roles_of
from sie_online.importance.noise.evidence import N_SIGNALS
from sie_online.importance.noise.model import N_HEADS, NoiseArrays, new_noise
from sie_online.importance.noise.share import MAX_SHARE as MOST_SHARE
from sie_online.importance.noise.share import MIN_SHARE as LEAST_SHARE
from sie_online.metrics import auc
from sie_online.settings import Settings
from sie_online.shard.trace import Trace, mixed, reference, trace
from streams.trainer.plan import noise_fit_of
from streams.trainer.suspects import DOUBTFUL, SUSPECT, mass_of, quartiles, suspicion

Columns = NDArray[np.void]
Tensors = dict[str, NDArray[np.float32]]
Bools = NDArray[np.bool_]

NO_ORDINARY = (0.0, -1.0)  # median and lower quartile where a head has no ordinary events
HALF_ACCOUNT = 8.0  # an account's n-th ordinary event is drawn with probability 8 / (8 + n)
FEWEST_EVENTS = 20  # of a behaviour, for an AUC
FOLDS = 3  # of the families
OWN_SHARE = 1 / 8  # of the examples are of the log as it is; ...
OWN_GROUPS = 8  # ... its suspects weigh as much as so many behaviours
SECOND_STAGES = 8  # mixtures that are kept whole
JUDGED_SHARE = 1 / 4  # as many mixtures, of those that are fitted on, for the figures of a fold


class Examined(NamedTuple):
    """A mixture as the shard sees it."""

    trace: Trace
    behaviour: NDArray[np.int64]  # (n,), of the trace's rows: 0: as it was, k > 0: behaviours[k - 1]
    mixture: Mixture


class Whole(NamedTuple):
    """A log of which all events are needed, for running means, and what is drawn of it."""

    trace: Trace
    examples: Examples  # one row per event
    drawn: NDArray[np.bool_]  # (n,): those that are examples at all
    rows: int


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
    fitter.gather()
    folds = [fitter.figures(fitter.fitted(apart), current, apart) for apart in fitter.folds()]
    shown, theirs = (together(figures) for figures in zip(*folds, strict=True))
    final = fitter.fitted(())
    shown = replace(shown, kept=fitter.kept(final))
    return Fitted(final._asdict(), shown, theirs, fitter.canary, len(columns), fitter.suspects)


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
        self._parts: list[Examples] = []
        self._wholes: list[Whole] = []
        self._family: dict[int, str] = {}  # of a group

    def folds(self) -> list[tuple[str, ...]]:
        """Families to judge by, each held out once."""
        order = np.random.default_rng([self._fitting.seed, len(self._columns)]).permutation(len(POLLUTING))
        return [tuple(sorted(POLLUTING[at] for at in order[fold::FOLDS].tolist())) for fold in range(FOLDS)]

    def gather(self) -> None:
        """Draw the examples of all fits: of mixtures over what is not suspected, and of the log as it is."""
        self._before = self._suspicion(self._current)
        ordinary = reference(self._settings, self._columns[self._before < DOUBTFUL], self._current)
        self._standard = self._current._replace(**ordinary._asdict())
        self._guilt = self._suspicion(self._standard)
        base = self._columns[self._guilt < DOUBTFUL][-self._rules.mixture_events :]
        rng = np.random.default_rng([self._fitting.seed, 1])
        budget, apart = self._rules.examples // self._rules.mixtures, -(-self._rules.mixtures // SECOND_STAGES)
        for number, one in enumerate(self._examined(base, self._standard, ALL, self._rules.mixtures, first_seed=0)):
            examples = examples_of(one, number)
            self._family |= {number * 1_000 + k: each.family for k, each in enumerate(one.mixture.behaviours, 1)}
            self._parts.append(sampled(thinned(examples, rng), budget, number))
            if number % apart == 0:
                self._wholes.append(Whole(one.trace, examples, np.ones(len(examples.head), np.bool_), budget))
        self._add_own(rng)

    def _add_own(self, rng: np.random.Generator) -> None:
        """The log as it is: what is suspected is noise, what is doubtful is nothing."""
        log = trace(self._settings, self._columns, self._standard)
        guilt = self._guilt[log.row]
        noise, first = guilt >= SUSPECT, 1_000 * self._rules.mixtures
        group = np.where(noise, first + 1 + log.user % OWN_GROUPS, first)
        examples = Examples(log.evidence, log.head, log.events, noise, np.zeros_like(noise), group)
        drawn, budget = noise | (guilt < DOUBTFUL), int(OWN_SHARE * self._rules.examples)
        self._parts.append(sampled(thinned(examples.take(drawn), rng), budget, self._rules.mixtures))
        self._wholes.append(Whole(log, examples, drawn, budget))
        accounts = np.bincount(log.user, guilt >= DOUBTFUL) / np.bincount(log.user)
        self.suspects = int((accounts > 0.5).sum())

    def fitted(self, apart: Sequence[str]) -> NoiseArrays:
        """A model fitted on the examples of all families but ``apart``."""
        hidden = np.array([group for group, family in self._family.items() if family in apart], np.int64)
        both = joined(self._parts)
        chosen = both.take(~np.isin(both.group, hidden))
        start = self._standard._asdict()
        tensors = fit(chosen, self._fitting, start=start, on_progress=self._told, should_stop=self._should_stop)
        tensors = averaged(tensors, start)
        self.canary = chosen.take(np.linspace(0, len(chosen.head) - 1, 64).astype(np.int64))
        tensors["mix"] = self._mix(tensors, hidden)
        own = self._wholes[-1]
        tensors["ordinary"] = ordinary_ratios(tensors, [(own.trace, own.drawn & ~own.examples.noise)])
        model = new_noise({**start, **tensors}, N_SIGNALS)
        return model._replace(share=self._share(model))

    def _mix(self, tensors: Tensors, hidden: NDArray[np.int64]) -> NDArray[np.float32]:
        """The second stage, of the mixtures that were kept whole."""
        parts, rng = [], np.random.default_rng([self._fitting.seed, 2])
        for number, one in enumerate(self._wholes):
            log = one.trace
            own = logits(tensors, log.evidence, log.head, log.events)
            rows = one.drawn & ~np.isin(one.examples.group, hidden)
            both = one.examples._replace(evidence=mixed(log, own)).take(rows)
            parts.append(sampled(thinned(both, rng), one.rows, number))
        all_ = joined(parts)
        return fit_mix(all_.evidence, all_.head, all_.noise, all_.innocent, all_.group, self._fitting)

    def _share(self, model: NoiseArrays) -> NDArray[np.float32]:
        """How common noise is in the log, by head: accounts count."""
        log = trace(self._settings, self._columns, model)
        mass, found = mass_of(log), np.full(N_HEADS, LEAST_SHARE)
        for head in np.unique(log.head):
            rows = log.head == head
            found[head] = np.clip(np.average(log.probability[rows], weights=mass[rows]), LEAST_SHARE, MOST_SHARE)
        return found.astype(np.float32)

    def _suspicion(self, model: NoiseArrays) -> NDArray[np.float64]:
        """Of every row of the log by ``model``; 0 where it is no event."""
        log, found = trace(self._settings, self._columns, model), np.zeros(len(self._columns))
        found[log.row] = suspicion(log, model)
        return found

    def _examined(
        self, base: Columns, model: NoiseArrays, families: Sequence[str], mixtures: int, first_seed: int
    ) -> Iterator[Examined]:
        """Mixtures over ``base``, one after another, under ``model``'s standardisation."""
        decoded = log_of(base)
        for number in range(mixtures):
            if self._should_stop():
                raise StoppedError("the fit was stopped")
            self._on_progress("mixing", number / mixtures)
            seed = (self._fitting.seed << 20) + first_seed + number
            mixture = mix(decoded.log, self._roles, seed, families=families)
            seen = trace(self._settings, columns_of(mixture, decoded, base), model)
            yield Examined(seen, mixture.behaviour[seen.row], mixture)

    def figures(
        self, candidate: NoiseArrays, current: NoiseArrays, apart: Sequence[str]
    ) -> tuple[NoiseFigures, NoiseFigures]:
        """What both show on the same mixtures of ``apart``: noise is told from what neither suspects in the log."""
        suspected = np.maximum(self._suspicion(candidate), self._suspicion(current)) >= DOUBTFUL
        ordinary = ~suspected[-self._rules.mixture_events :]
        return self._figures(candidate, apart, ordinary), self._figures(current, apart, ordinary)

    def _figures(self, model: NoiseArrays, apart: Sequence[str], ordinary: NDArray[np.bool_]) -> NoiseFigures:
        newest = self._columns[-self._rules.mixture_events :]
        detected: dict[str, list[float]] = {family: [] for family in apart}
        innocent, taken, lost = [], [], []
        mixtures = max(1, round(JUDGED_SHARE * self._rules.mixtures))
        for one in self._examined(newest, model, (*apart, *INNOCENT), mixtures, first_seed=900_000):
            known = (one.behaviour == 0) & ordinary[one.mixture.source[one.trace.row]]
            for number, behaviour in enumerate(one.mixture.behaviours, 1):
                rows = one.behaviour == number
                if not behaviour.polluting:
                    innocent.append(float(one.trace.probability[rows].mean()))
                elif rows.sum() >= FEWEST_EVENTS:
                    taken.append(float(one.trace.cautious[rows].mean()))
                    against = rows | known
                    detected[behaviour.family].append(auc(rows[against], one.trace.probability[against]))
            lost.append(float(one.trace.cautious[known].mean()))
        auc_ = {family: float(np.mean(found)) for family, found in detected.items() if found}
        log = trace(self._settings, self._columns, model)
        clean = float(log.probability[self._before[log.row] < DOUBTFUL].mean())
        gain = (float(np.mean(taken)) if taken else np.nan) - float(np.mean(lost))
        return NoiseFigures(auc_, float(np.mean(innocent)) if innocent else 0.0, clean, gain, self.kept(model))

    def kept(self, model: NoiseArrays) -> float:
        """AUC with which ``model`` tells what the one in force takes for noise in the log; 1 if that is none."""
        log = trace(self._settings, self._columns, model)
        guilt = self._before[log.row]
        rows, noise = (guilt < DOUBTFUL) | (guilt >= SUSPECT), guilt >= SUSPECT
        return auc(noise[rows], log.probability[rows]) if len(np.unique(noise[rows])) == 2 else 1.0

    def _told(self, progress: Progress) -> None:
        self._on_progress(f"fitting, {progress.note}", progress.epoch / progress.epochs)


def examples_of(one: Examined, number: int) -> Examples:
    """Every event of a mixture as an example; groups of different mixtures have different numbers."""
    polluting = np.array([False, *(each.polluting for each in one.mixture.behaviours)])[one.behaviour]
    group = number * 1_000 + one.behaviour
    return Examples(
        one.trace.evidence, one.trace.head, one.trace.events, polluting, (one.behaviour > 0) & ~polluting, group
    )


def ordinary_ratios(tensors: Tensors, logs: Sequence[tuple[Trace, Bools]]) -> NDArray[np.float32]:
    """Median and lower quartile of ordinary events' log ratios, (heads, 2); accounts count.

    ``logs`` are traces, each with which of its events (n,) are ordinary.
    """
    ratios, heads, masses = [], [], []
    for log, rows in logs:
        own = logits(tensors, log.evidence, log.head, log.events)
        ratios.append(log_ratios(tensors["mix"], mixed(log, own), log.head)[rows])
        heads.append(log.head[rows])
        masses.append(mass_of(log)[rows])
    ratio, head, mass = (np.concatenate(column) for column in (ratios, heads, masses))
    found = np.tile(NO_ORDINARY, (N_HEADS, 1))
    for which in np.unique(head):
        rows = head == which
        below, middle, _above = quartiles(ratio[rows], mass[rows])
        found[which] = middle, below
    return found.astype(np.float32)


def thinned(examples: Examples, rng: np.random.Generator) -> Examples:
    """With fewer ordinary events of the accounts that have many: a few crawlers would be most of what is ordinary."""
    ordinary = ~(examples.noise | examples.innocent)
    kept = np.where(ordinary, HALF_ACCOUNT / (HALF_ACCOUNT + examples.events), 1.0)
    return examples.take(rng.random(len(kept)) < kept)
