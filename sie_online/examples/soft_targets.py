"""``python -m sie_online.examples.soft_targets``: a learner on softened labels, if your own hold-out likes them.

The target of a sample becomes a * label + (1 - a) * probability, with the probability that the stream stated at the
event: its model has seen more, and says how sure it was (Hinton, Vinyals & Dean, arXiv:1503.02531, 2015; Lopez-Paz et
al., ICLR 2016). Any learner that takes weights can learn that: every sample comes twice, as a positive with the target
as its weight, and as a negative with what is left to 1.

Whether it helps is a matter of the learner, so a is chosen on your log; 1, the labels as they are, is among the
choices.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import SieError, UsageError
from sie_online.escape import harmless
from sie_online.examples.samples import TrainingSamples, read_file
from sie_online.examples.trial import LEVEL, Floats, Learner
from sie_online.examples.verdict import Difference
from sie_online.metrics import auc

LEARNERS = {
    "sklearn": "HashedLogisticRegression",
    "lightgbm": "BoostedTrees",
    "pytorch": "NetLearner",
}
"""Examples whose learner is taken, and what it is called there."""
SHARES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.0)
"""Of the label in the target: what a is chosen from."""
CUTS = (0.5, 0.7)
"""Shares of the events that come before the part on which a is chosen, and before the one that is scored."""
LEAST_POSITIVES = 20
"""Of a part that is scored: fewer choose at random."""
SURE = 1e-6  # predictions are taken to be at least so far from 0 and 1

EPILOG = """\
what it does
  Events are split in time: the first half, the next fifth, the last three tenths. For every a the learner learns what
  had settled before the second part and is scored on that; the a with the least log loss is taken. Then it learns what
  had settled before the third part, with that a and with the labels as they are, and both are scored on the third part,
  which had no say in anything. Labels are never known before the stream knew them.

how to read it
  A difference whose 95 % interval holds 0 is none that this log can show; users are resampled in pairs. Use soft
  targets where the last line says that they help, with the learner and the amount of data that you train with. The
  learner matters: docs/subsampling.md has one that gains and one that loses on the same log.

exit codes: 0 done, 2 wrong use, unusable samples or a missing library
"""


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one model on one part, unweighted."""

    AUC: float
    NLL: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found."""

    chosen: float
    """The share a of the label."""
    learned: int
    scored: int
    positives: int
    choices: Mapping[float, Scores]
    """By a, on the part on which it was chosen."""
    labels: Scores
    """On the scored part, of the labels as they are."""
    soft: Scores
    """On the scored part, with the chosen a."""
    difference: Mapping[str, Difference]
    """Soft minus labels."""

    @property
    def sentence(self) -> str:
        """What to do."""
        if self.chosen == 1.0:
            return "Keep the labels as they are: no softer target was better on the part on which it was to be chosen."
        told = ", ".join(f"{name} {self.difference[name]}" for name in ("AUC", "NLL"))
        sides = (self.difference["AUC"].side(), -self.difference["NLL"].side())
        if -1 in sides:
            return f"Soft targets harm here ({told}): keep the labels as they are."
        if 1 in sides:
            return f"Soft targets help here (a = {self.chosen:g}; {told})."
        return f"No measurable difference ({told}): keep the labels as they are."


def try_soft_targets(
    samples: TrainingSamples,
    probability: Floats,
    new_learner: Callable[[], Learner],
    *,
    resamples: int = 200,
    seed: int = 0,
    on_begin: Callable[[str], None] = lambda _what: None,
) -> Outcome:
    """Choose a, and compare it with the labels as they are on later events.

    Args:
        probability: (n,), what the stream stated of each sample at its event.
        on_begin: told what begins.

    Raises:
        UsageError: a part has too few samples of one class.
    """
    first, second = np.quantile(samples.event_time_ms, CUTS)
    between = (samples.event_time_ms > first) & (samples.event_time_ms <= second) & (samples.settled_ms <= second)
    choosing, scored = samples.take(between), samples.take(samples.event_time_ms > second)
    early, late = (_settled_by(samples, cut) for cut in (first, second))
    _require_both_classes({"learned": samples.take(early), "choosing": choosing, "scored": scored})

    def predicted(rows: NDArray[Any], share: float, part: TrainingSamples) -> Floats:
        on_begin(f"train on {len(rows):,} samples with a = {share:g}")
        learner = new_learner()
        learner.learn(*softened(samples.take(rows), probability[rows], share))
        return np.clip(learner.predict(part), SURE, 1.0 - SURE)

    choices = {share: _scores(choosing.label, predicted(early, share, choosing)) for share in SHARES}
    chosen = min(choices, key=lambda share: choices[share].NLL)
    plain = predicted(late, 1.0, scored)
    soft = plain if chosen == 1.0 else predicted(late, chosen, scored)
    on_begin("compare")
    return Outcome(
        chosen,
        learned=len(late),
        scored=len(scored),
        positives=int(scored.label.sum()),
        choices=choices,
        labels=_scores(scored.label, plain),
        soft=_scores(scored.label, soft),
        difference=_differences(scored, plain, soft, resamples, seed),
    )


def softened(samples: TrainingSamples, probability: Floats, share: float) -> tuple[TrainingSamples, Floats]:
    """Every sample twice, as a positive and as a negative, and the weights that make a soft target of that, (2n,).

    The log loss of the two is that of one with the target ``share * label + (1 - share) * probability``. Weightless
    copies are left in, so that whatever else a learner counts (steps, samples in a leaf) is the same for every share.
    """
    target = share * samples.label + (1.0 - share) * probability
    twice = samples.take(np.repeat(np.arange(len(samples)), 2))
    label = np.tile(np.array([1, 0], samples.label.dtype), len(samples))
    return replace(twice, label=label), np.stack([target, 1.0 - target], axis=1).reshape(-1)


def _settled_by(samples: TrainingSamples, cut: float) -> NDArray[np.intp]:
    """Rows that had settled by then, in that order."""
    rows = np.flatnonzero(samples.settled_ms <= cut)
    return rows[np.argsort(samples.settled_ms[rows], kind="stable")]


def _require_both_classes(parts: Mapping[str, TrainingSamples]) -> None:
    for name, part in parts.items():
        fewer = int(min(part.label.sum(), len(part) - part.label.sum()))
        if fewer < LEAST_POSITIVES:
            raise UsageError(
                f"the {name} part has {len(part)} samples and only {fewer} of one class: soft targets need a log that "
                "is some times longer than its attribution window"
            )


def _scores(label: NDArray[Any], probability: Floats) -> Scores:
    of_truth = np.where(label == 1, probability, 1.0 - probability)
    return Scores(auc(label, probability), -float(np.log(of_truth).mean()))


def _differences(
    scored: TrainingSamples, plain: Floats, soft: Floats, resamples: int, seed: int
) -> dict[str, Difference]:
    """Soft minus plain, with intervals over draws of users: one user's samples are no independent evidence."""
    rng, drawn = np.random.default_rng(seed), []
    _, user = np.unique(scored.user_hash, return_inverse=True)
    users = int(user.max()) + 1
    for _ in range(resamples):
        rows = np.repeat(np.arange(len(user)), np.bincount(rng.integers(users, size=users), minlength=users)[user])
        drawn.append(_gap(scored.label[rows], plain[rows], soft[rows]))
    tails = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
    bands = np.nanpercentile(drawn, tails, axis=0).T.tolist() if drawn else [(), ()]
    value = _gap(scored.label, plain, soft)
    return {name: Difference(value[at], *bands[at]) for at, name in enumerate(("AUC", "NLL"))}


def _gap(label: NDArray[Any], plain: Floats, soft: Floats) -> tuple[float, float]:
    one, other = _scores(label, soft), _scores(label, plain)
    return one.AUC - other.AUC, one.NLL - other.NLL


def as_text(outcome: Outcome) -> str:
    """``outcome`` as a table, and in a sentence."""
    choices = [f"{share:<10g}{each.AUC:>9.4f}{each.NLL:>10.5f}" for share, each in outcome.choices.items()]
    scored = f"{outcome.scored:,} later ones, {outcome.positives:,} positive"
    return "\n".join(
        [
            "on the part on which a is chosen",
            f"{'a':<10}{'AUC':>9}{'NLL':>10}",
            *choices,
            "",
            f"learned {outcome.learned:,} settled samples, scored {scored}",
            f"{'labels':<10}{outcome.labels.AUC:>9.4f}{outcome.labels.NLL:>10.5f}",
            f"{f'a = {outcome.chosen:g}':<10}{outcome.soft.AUC:>9.4f}{outcome.soft.NLL:>10.5f}",
            "",
            outcome.sentence,
        ]
    )


def _new_learner(name: str, seed: int) -> Callable[[], Learner]:
    kind = getattr(import_module(f"sie_online.examples.{name}"), LEARNERS[name])

    def new() -> Learner:
        learner: Learner = kind(seed=seed)
        return learner

    return new


def _show_progress(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{what} ...\n")


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m sie_online.examples.soft_targets",
        description=(
            "Train on labels softened by what the stream predicted, if that is better on your own log.\n\nexamples\n"
            "  sie evaluate events.parquet --out results --samples\n"
            "  python -m sie_online.examples.soft_targets results/samples.parquet\n"
            "  sie tail samples --parquet samples.parquet --until-idle 5\n"
            "  python -m sie_online.examples.soft_targets samples.parquet --learner lightgbm"
        ),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("file", type=Path, help="settled samples in a Parquet file")
    made.add_argument("--learner", choices=LEARNERS, default="sklearn", help="the example's (default sklearn)")
    made.add_argument("--resamples", type=int, default=200, metavar="N", help="of the bootstrap (default 200; 0: none)")
    made.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        table = read_file(options.file)
        samples = TrainingSamples.from_table(table)
        if "probability" not in table.column_names:
            raise UsageError(f"{options.file} has no column 'probability', which soft targets are made of")
        new_learner = _new_learner(options.learner, options.seed)
        outcome = try_soft_targets(
            samples,
            table["probability"].to_numpy(),
            new_learner,
            resamples=options.resamples,
            seed=options.seed,
            on_begin=_show_progress,
        )
    except SieError as error:
        sys.stderr.write(f"{parser.prog}: {harmless(str(error))}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    told = json.dumps(asdict(outcome) | {"sentence": outcome.sentence}) if options.json else as_text(outcome)
    sys.stdout.write(told + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
