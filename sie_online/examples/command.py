"""What both examples share as commands: options, exit codes, and how a result is shown."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from sie_online.errors import SieError, UsageError
from sie_online.escape import harmless
from sie_online.examples.samples import TrainingSamples
from sie_online.examples.trial import METRICS, Comparison, Difference, Learner, Plan, compare

EPILOG = """\
what it does
  Events up to the last part of the stream are history, that last part is held out. A recommender learns the samples
  that had settled by then, once with every sample counting the same and once with the published weights, same seed and
  order. Both are scored on the held-out part, unweighted. Labels are never known before the stream knew them.

how to read it
  AUC is the chance that a purchase ranks above a non-purchase; NLL the mean log loss (lower is better). Precision and
  recall are of the samples above a threshold that, on the last fifth of what was learned, names as many as were bought.
  A difference whose interval holds 0 is none that this stream can show. Held-out labels are as noisy as the stream:
  --noise-below 0.5 leaves out what the same system holds for noise, which favours the weights.

exit codes: 0 done, 2 wrong use or unusable samples, 3 the broker does not answer, 78 the log is not what it was
"""


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    read: Callable[[argparse.Namespace], TrainingSamples],
    new_learner: Callable[[argparse.Namespace], Learner],
) -> int:
    """Run the command: read samples, compare, tell; its exit code."""
    options = parser.parse_args(arguments)
    try:
        samples = read(options)
        plan = Plan(options.held_out, options.noise_below, options.resamples, options.seed)
        result = compare(samples, lambda: new_learner(options), plan)
    except SieError as error:
        sys.stderr.write(f"{parser.prog}: {harmless(str(error))}\n")
        return error.exit_code
    sys.stdout.write((json.dumps(asdict(result)) if options.json else as_table(result)) + "\n")
    return 0


def parser(name: str, summary: str, epochs: int) -> argparse.ArgumentParser:
    """A parser with the options that both have."""
    made = argparse.ArgumentParser(
        prog=f"python -m sie_online.examples.{name}",
        description=f"{summary}\n\n{_examples(name)}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--file", type=Path, metavar="FILE", help="read this Parquet file instead of a broker")
    made.add_argument("--broker", metavar="HOST:PORT", help="bootstrap servers (default: SIE_BROKER; TLS and SASL too)")
    made.add_argument("--topic", help="topic of the samples (default: SIE_TOPICS__SAMPLES)")
    made.add_argument("--idle", type=_positive, default=5.0, metavar="S", help="read until silent for S s (default 5)")
    made.add_argument("--held-out", type=_share, default=0.3, metavar="P", help="last share to score on (default 0.3)")
    made.add_argument("--noise-below", type=_positive, default=1.0, metavar="P", help="score only samples less noisy")
    made.add_argument(
        "--epochs", type=_count, default=epochs, metavar="N", help=f"passes in training (default {epochs})"
    )
    made.add_argument("--resamples", type=int, default=200, metavar="N", help="of the bootstrap (default 200; 0: none)")
    made.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def as_table(result: Comparison) -> str:
    """``result`` as a table."""
    scored = f"scored {result.scored:,} later ones ({result.positives:,} positive)"
    rows = [
        f"{name:<10}{result.unweighted[name]:>11.4f}{result.weighted[name]:>11.4f}{_as_text(result.difference[name])}"
        for name in METRICS
    ]
    return "\n".join(
        [
            f"learned {result.learned:,} settled samples, {scored}",
            f"left out {result.unsettled:,} that had not settled when the held-out part begins",
            "",
            f"{'':<10}{'unweighted':>11}{'weighted':>11}{'difference':>12}",
            *rows,
        ]
    )


def missing(package: str, error: ModuleNotFoundError) -> UsageError:
    """What to say, and install, where ``package`` is not installed."""
    return UsageError(f"this example needs {package}: pip install {package} ({error})")


def _as_text(difference: Difference) -> str:
    band = "" if difference.low is None else f"  [{difference.low:+.4f}, {difference.high:+.4f}]"
    return f"{difference.value:>+12.4f}{band}"


def _examples(name: str) -> str:
    return (
        "examples\n"
        "  sie tail samples --parquet samples.parquet --until-idle 5\n"
        f"  python -m sie_online.examples.{name} --file samples.parquet\n"
        f"  python -m sie_online.examples.{name} --broker 127.0.0.1:9092 --idle 5"
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
