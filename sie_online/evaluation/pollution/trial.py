"""Mix a random behaviour of every family into a log, weigh the mixture as it would be served, and see what is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sie_online.behaviours import INNOCENT, POLLUTING, Mixture, Roles, mix, roles_of
from sie_online.errors import UsageError
from sie_online.evaluation.compare.accounts import established
from sie_online.evaluation.compare.arms import normalised
from sie_online.evaluation.compare.learners import ContextLogistic
from sie_online.evaluation.compare.scores import METRICS, Gain, scores
from sie_online.evaluation.compare.settled import Collector, Floats, Settled, places, split
from sie_online.evaluation.compare.verdict import LEAST_POSITIVES
from sie_online.evaluation.pollution.figures import InnocentFound, MixtureFound, Pollution
from sie_online.evaluation.pollution.log import EventLog
from sie_online.evaluation.pollution.truth import misleading
from sie_online.evaluation.run import WEIGHTS_FILE, ModelSource, evaluate
from sie_online.metrics import auc
from sie_online.settings import Settings

FEWEST_EVENTS = 20  # of a behaviour, for an AUC
BAD, ODD = 3, 2  # polluting and innocent behaviours in each mixture
SEED_STEP = 1_000  # families of one seed have seeds of their own
COLUMNS = ["event_id", "partition", "offset", "noise_probability", "weight"]

Progress = Callable[[int, float], None]
"""Called after each mixture: how many so far, and the share of all in [0, 1]."""


@dataclass(frozen=True)
class Serving:
    """How mixtures are weighed: as the log itself was.

    ``model_source`` makes the source of models anew for each mixture; None: the models that are built in.
    """

    settings: Settings
    partitions: int
    started_ms: int
    scratch: Path
    model_source: Callable[[], ModelSource | None] = lambda: None


def pollute(
    log: EventLog,
    serving: Serving,
    seeds: Sequence[int],
    families: Sequence[str] = POLLUTING,
    *,
    on_progress: Progress = lambda _done, _share: None,
) -> Pollution:
    """A mixture for every one of ``families`` and ``seeds``: three behaviours of the family, two innocent.

    Gains are those of a context logistic regression, scored on held-out samples that are not misleading, of
    established accounts where there are enough.

    Raises:
        UsageError: the log is too short to be mixed into or to train on, or has not what any of the families needs.
    """
    labels = serving.settings.labels
    roles = roles_of(labels.samples, labels.conversions)
    _require_mixable(log, roles)
    found: list[MixtureFound] = []
    left_out: list[str] = []
    done = 0
    for family in families:
        for seed in seeds:
            mixture = _mixture(log, roles, family, seed)
            if mixture is None:
                left_out.append(family)
            else:
                found.append(_found(log, mixture, family, seed, serving))
            done += 1
            on_progress(done, done / (len(families) * len(seeds)))
    if not found:
        raise UsageError(f"this log has not what these behaviours need: {', '.join(families)}")
    return Pollution(len(log.columns), tuple(seeds), found, tuple(dict.fromkeys(left_out)))


def _mixture(log: EventLog, roles: Roles, family: str, seed: int) -> Mixture | None:
    """Some behaviours of ``family``, and innocent ones; None: the log has not what the family needs."""
    number = SEED_STEP * seed + POLLUTING.index(family)
    try:
        mixture = mix(
            log.decoded.log,
            roles,
            number,
            families=(family, *INNOCENT),
            polluting=BAD,
            innocent=ODD,
        )
    except ValueError:
        return None
    return mixture if mixture.polluting().any() else None


def _require_mixable(log: EventLog, roles: Roles) -> None:
    try:
        mix(log.decoded.log, roles, 0, polluting=0, innocent=0)
    except ValueError as error:
        raise UsageError(f"nothing can be mixed into this log: {error}") from None


def _found(log: EventLog, mixture: Mixture, family: str, seed: int, serving: Serving) -> MixtureFound:
    samples, known, rows = _served(log, mixture, seed, serving)
    event = rows["event_id"].cast(pa.int64()).to_numpy()
    noise, weight = np.zeros(len(mixture.source)), np.ones(len(mixture.source))
    noise[event], weight[event] = rows["noise_probability"].to_numpy(), rows["weight"].to_numpy()  # the last holds
    place = places(rows["partition"].to_numpy(), rows["offset"].to_numpy())
    of_sample = event[np.searchsorted(place, places(samples.partition, samples.offset))]
    labels = serving.settings.labels
    wrong = misleading(mixture, log.decoded.log, roles_of(labels.samples, labels.conversions), labels.window_ms)
    published, perfect = _gains(samples, wrong[of_sample], known)
    polluting, untouched = mixture.polluting(), mixture.behaviour == 0
    return MixtureFound(
        family=family,
        seed=seed,
        events=int(polluting.sum()),
        share=float(polluting.mean()),
        auc=auc(polluting, noise) if polluting.sum() >= FEWEST_EVENTS else None,
        untouched_noise=float(noise[untouched].mean()),
        published=published,
        perfect=perfect,
        innocents=_innocents(mixture, weight),
    )


def _served(
    log: EventLog, mixture: Mixture, seed: int, serving: Serving
) -> tuple[Settled, NDArray[np.bool_], pa.Table]:
    """Settled samples of ``mixture``, which of them are of established accounts, and rows."""
    collector = Collector()
    with TemporaryDirectory(prefix=".mixture-", dir=serving.scratch) as folder:
        evaluate(
            log.records(mixture, seed),
            serving.settings,
            Path(folder),
            partitions=serving.partitions,
            started_ms=serving.started_ms,
            model_source=serving.model_source(),
            listeners=(collector,),
        )
        samples, path = collector.samples(), Path(folder) / WEIGHTS_FILE
        known = established(path, serving.settings.labels.samples, samples.partition, samples.offset)
        return samples, known, pq.read_table(path, columns=COLUMNS)


def _gains(
    samples: Settled, wrong: NDArray[np.bool_], known: NDArray[np.bool_]
) -> tuple[dict[str, Gain], dict[str, Gain]]:
    """Of the published weights and of perfect ones, 0 for what is ``wrong`` (n,), over uniform ones, by metric.

    Scored on samples that are not wrong, of accounts that are ``known`` (n,) where enough of theirs are positive: what
    the log's own noise is nobody knows.
    """
    learned, scored = split(samples)
    scored = scored[~wrong[scored]]
    if samples.label[scored[known[scored]]].sum() >= LEAST_POSITIVES:
        scored = scored[known[scored]]
    weights = np.ones(len(learned)), samples.weight[learned], (~wrong[learned]).astype(np.float64)
    past, later = samples.take(learned), samples.take(scored)
    predictions = [ContextLogistic().predictions(past, normalised(weight), later, 0) for weight in weights]
    found = scores(later.label, np.stack(predictions), later.user)
    uniform, published, perfect = (np.array([at]) for at in range(3))
    return (
        dict(zip(METRICS, found.gain(published, uniform), strict=True)),
        dict(zip(METRICS, found.gain(perfect, uniform), strict=True)),
    )


def _innocents(mixture: Mixture, weight: Floats) -> list[InnocentFound]:
    others = weight[mixture.behaviour == 0].mean()
    return [
        InnocentFound(each.family, each.events, float(weight[mixture.behaviour == number].mean() / others))
        for number, each in enumerate(mixture.behaviours, 1)
        if not each.polluting
    ]
