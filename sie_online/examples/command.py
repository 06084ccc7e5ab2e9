"""What all examples share as commands: options, exit codes, and how a result is shown."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from sie_online.errors import SieError, UsageError
from sie_online.escape import harmless
from sie_online.examples.hold_out import Plan
from sie_online.examples.samples import TrainingSamples, read_file, read_topic
from sie_online.examples.trial import Learner, Report, compare

EPILOG = """\
what it does
  Events up to the last part of the stream are history, that last part is held out. A recommender learns the samples
  that had settled by then: with every sample counting the same, with the published weights, and with these shuffled;
  same seed and order. All are scored on the held-out part, unweighted. Labels are never known before the stream knew
  them.

how to read it
  AUC is the chance that a purchase ranks above a non-purchase; NLL the mean log loss (lower is better). Precision and
  recall are of the samples above a threshold that, on the last fifth of what was learned, names as many as were bought.
  A difference whose 95 % interval holds 0 is none that this stream can show; users are resampled, since one user's
  samples are no independent evidence. The last line says what to do, by AUC and NLL. A difference counts only if the
  weights shuffled do not show it: those know nothing of the samples, but change the learner's steps all the same.

what to score on
  Held-out labels are as noisy as the stream, and a model that learned to predict bots is better where there are bots.
  --truth FILE scores the events that you know to be genuine (a reviewed sample; the truth beside a generated log).
  --noise-below 0.5 leaves out what the same system holds for noise, which favours the weights.

when not to use the weights
  Where the last line does not say that they help. Expect that on clean logs, or where somebody cleans them before you
  train; with a strong learner and little noise, which averages it away; and where what you are judged by holds the
  same noise. Never to count or bill, and not to train a detector of noise. docs/weights.md has the figures.
"""
EXIT_CODES = """\
exit codes: 0 done, 2 wrong use, unusable samples or a missing library, 3 the broker does not answer, 78 the log is not
what it was
"""

Read = Callable[[argparse.Namespace], TrainingSamples]
Study = Callable[[TrainingSamples, Callable[[], Learner], Plan, Report], Any]
"""What is found out with a learner: a dataclass, whose text is what people read."""


@contextmanager
def library(distribution: str) -> Iterator[None]:
    """Around the imports of what ``pip install <distribution>`` brings: without it, that line and exit code 2."""
    try:
        yield
    except ModuleNotFoundError as error:
        sys.stderr.write(f"this example needs {distribution}: pip install {distribution} ({error})\n")
        raise SystemExit(2) from None


def read_samples(options: argparse.Namespace) -> TrainingSamples:
    """From the file, or from the topic until it is silent."""
    found = read_file(options.file) if options.file else read_topic(options.broker, options.topic, options.idle)
    return TrainingSamples.from_table(found)


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    new_learner: Callable[[argparse.Namespace], Learner],
    read: Read = read_samples,
    then: Callable[[argparse.Namespace, TrainingSamples], None] = lambda _options, _samples: None,
    study: Study = compare,
) -> int:
    """Run the command: read samples, ``study``, tell, and do what is to be done ``then``; its exit code."""
    options = parser.parse_args(arguments)
    try:
        samples = read(options)
        result = study(samples, lambda: new_learner(options), _plan(options), _show_progress)
        sys.stdout.write((json.dumps(asdict(result)) if options.json else str(result)) + "\n")
        then(options, samples)
    except SieError as error:
        sys.stderr.write(f"{parser.prog}: {harmless(str(error))}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def parser(
    name: str, summary: str, *, epochs: int | None = None, example: str = "", epilog: str = EPILOG
) -> argparse.ArgumentParser:
    """A parser with the options that all have.

    ``epochs``: passes in training by default, None where there are none; ``example``: what the examples say behind it.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m sie_online.examples.{name}",
        description=f"{summary}\n\n{_examples(name, example)}",
        epilog=f"{epilog}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--file", type=Path, metavar="FILE", help="read this Parquet file instead of a broker")
    made.add_argument("--broker", metavar="HOST:PORT", help="bootstrap servers (default: SIE_BROKER; TLS and SASL too)")
    made.add_argument("--topic", help="topic of the samples (default: SIE_TOPICS__SAMPLES)")
    made.add_argument("--idle", type=_positive, default=5.0, metavar="S", help="read until silent for S s (default 5)")
    made.add_argument("--held-out", type=_share, default=0.3, metavar="P", help="last share to score on (default 0.3)")
    made.add_argument("--noise-below", type=_positive, default=1.0, metavar="P", help="score only samples less noisy")
    made.add_argument("--truth", type=Path, metavar="FILE", help="score only what FILE (event_id, noisy) says is sound")
    if epochs is not None:
        made.add_argument(
            "--epochs", type=_count, default=epochs, metavar="N", help=f"passes in training (default {epochs})"
        )
    made.add_argument("--resamples", type=int, default=200, metavar="N", help="of the bootstrap (default 200; 0: none)")
    made.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def _show_progress(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{what} ...\n")


def _plan(options: argparse.Namespace) -> Plan:
    genuine = None if options.truth is None else _genuine(options.truth)
    return Plan(options.held_out, options.noise_below, genuine, options.resamples, options.seed)


def _genuine(path: Path) -> pa.Array:
    """Ids of the events that ``path`` says are not noisy."""
    truth = read_file(path)
    if missing := {"event_id", "noisy"} - set(truth.column_names):
        raise UsageError(f"--truth: {path} has no column {min(missing)!r}; it needs event_id and noisy (0 or 1)")
    return truth["event_id"].cast(pa.string()).combine_chunks().filter(truth["noisy"].to_numpy() == 0)


def _examples(name: str, more: str) -> str:
    return (
        "examples\n"
        "  sie evaluate events.parquet --out results --samples\n"
        f"  python -m sie_online.examples.{name} --file results/samples.parquet{more}\n"
        "  sie tail samples --parquet samples.parquet --until-idle 5\n"
        f"  python -m sie_online.examples.{name} --file samples.parquet{more} --noise-below 0.5\n"
        f"  python -m sie_online.examples.{name} --broker 127.0.0.1:9092 --idle 5{more}"
    )


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _share(text: str) -> float:
    if not 0 < (value := float(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value
