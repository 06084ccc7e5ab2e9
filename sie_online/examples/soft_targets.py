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
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np

from sie_online.examples.command import parser, run
from sie_online.examples.hold_out import HoldOut, Plan
from sie_online.examples.samples import Floats, TrainingSamples
from sie_online.examples.scoring import Difference, Prediction, Scores
from sie_online.examples.trial import Learner, Report
from sie_online.examples.verdict import Verdict, judge_soft_targets

LEARNERS = {
    "sklearn": "HashedLogisticRegression",
    "lightgbm": "BoostedTrees",
    "pytorch": "NetLearner",
}
"""Examples whose learner is taken, and what it is called there."""
SHARES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.0)
"""Of the label in the target: what a is chosen from."""
BEFORE_CHOICE = 5 / 7
"""Of the events before the held-out part; on the rest a is chosen: by default half of all, a fifth, three tenths."""
LEAST_OF_A_CLASS = 20
"""In each part: fewer choose at random."""

EPILOG = """\
what it does
  Events are split in time: by default the first half, the next fifth, the last three tenths, which are held out. For
  every a the learner learns what had settled before the second part and is scored on that; the a with the least log
  loss is taken. Then it learns what had settled before the third part, with that a and with the labels as they are, and
  both are scored on the third part, which had no say in anything. Labels are never known before the stream knew them.

how to read it
  A difference whose 95 % interval holds 0 is none that this log can show; users are resampled in pairs. Use soft
  targets where the last line says that they help, with the learner and the amount of data that you train with. The
  learner matters: docs/subsampling.md has one that gains and one that would lose on the same log.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found; scores by metric, unweighted."""

    chosen: float
    """The share a of the label."""
    learned: int
    scored: int
    positives: int
    choices: Mapping[float, Mapping[str, float]]
    """Scores by a, on the part on which it was chosen."""
    labels: Mapping[str, float]
    """Scores on the held-out part, of the labels as they are."""
    soft: Mapping[str, float]
    """Scores on the held-out part, with the chosen a."""
    difference: Mapping[str, Difference]
    """Soft minus labels."""
    verdict: Verdict

    def __str__(self) -> str:
        scored = f"scored {self.scored:,} later ones ({self.positives:,} positive)"
        return "\n".join(
            [
                "on the part on which a is chosen",
                f"{'a':<10}{'AUC':>9}{'NLL':>10}",
                *(_line(f"{share:g}", scores) for share, scores in self.choices.items()),
                "",
                f"learned {self.learned:,} settled samples, {scored}",
                _line("labels", self.labels),
                _line(f"a = {self.chosen:g}", self.soft),
                "",
                self.verdict.sentence,
            ]
        )


def _line(name: str, scores: Mapping[str, float]) -> str:
    return f"{name:<10}{scores['AUC']:>9.4f}{scores['NLL']:>10.5f}"


def try_soft_targets(
    samples: TrainingSamples,
    new_learner: Callable[[], Learner],
    plan: Plan,
    on_begin: Report = lambda _what: None,
) -> Outcome:
    """Choose a, and compare it with the labels as they are on the held-out part.

    Raises:
        UsageError: a part has too few samples of one class.
    """
    first, second = plan.cut_ms(samples, BEFORE_CHOICE), plan.cut_ms(samples)
    early = HoldOut.at(samples, plan, first, end_ms=second, least=LEAST_OF_A_CLASS)
    late = HoldOut.at(samples, plan, second, least=LEAST_OF_A_CLASS)

    def prediction(part: HoldOut, share: float) -> Prediction:
        on_begin(f"train on {len(part.learned):,} samples with a = {share:g}")
        learner = new_learner()
        learner.learn(*softened(samples.take(part.learned), share))
        return Prediction(learner.predict(samples.take(part.scored)))

    label, once = samples.label[early.scored], np.ones(len(early.scored))
    choices = {share: prediction(early, share).scores(label, once) for share in SHARES}
    chosen = min(choices, key=lambda share: choices[share]["NLL"])
    plain = prediction(late, 1.0)
    soft = plain if chosen == 1.0 else prediction(late, chosen)
    on_begin("compare")
    scored = samples.take(late.scored)
    scores = Scores([plain, soft], scored, plan)
    difference = scores.difference(1, 0)
    return Outcome(
        chosen,
        learned=len(late.learned),
        scored=len(scored),
        positives=int(scored.label.sum()),
        choices=choices,
        labels=scores.of[0],
        soft=scores.of[1],
        difference=difference,
        verdict=judge_soft_targets(chosen, difference),
    )


def softened(samples: TrainingSamples, share: float) -> tuple[TrainingSamples, Floats]:
    """Every sample twice, as a positive and as a negative, and the weights that make a soft target of that, (2n,).

    The log loss of the two is that of one with the target ``share * label + (1 - share) * probability``. Weightless
    copies are left in, so that whatever else a learner counts (steps, samples in a leaf) is the same for every share.
    """
    target = share * samples.label + (1.0 - share) * samples.probability
    twice = samples.take(np.repeat(np.arange(len(samples)), 2))
    label = np.tile(np.array([1, 0], samples.label.dtype), len(samples))
    return replace(twice, label=label), np.stack([target, 1.0 - target], axis=1).reshape(-1)


def _new_learner(options: argparse.Namespace) -> Learner:
    kind = getattr(import_module(f"sie_online.examples.{options.learner}"), LEARNERS[options.learner])
    learner: Learner = kind(seed=options.seed)
    return learner


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    summary = "Train on labels softened by what the stream predicted, if that is better on your own log."
    options = parser("soft_targets", summary, example=" --learner lightgbm", epilog=EPILOG)
    options.add_argument("--learner", choices=LEARNERS, default="sklearn", help="the example's (default sklearn)")
    return run(options, arguments, _new_learner, study=try_soft_targets)


if __name__ == "__main__":
    sys.exit(main())
