"""The arguments of ``make bench``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.benchmarks.curves import CURVES
from tests.benchmarks.latency import RATES
from tests.benchmarks.peers import PEERS
from tests.benchmarks.running import count
from tests.support.brokers import ROOT

LEAST_EVENTS = 10_000  # fewer come with the first answer: nothing would be left to time
EVENTS, EVENTS_OF_A_POINT = 300_000, 200_000
ALL_OF = "default: all of"
DOCS = ROOT / "docs" / "benchmarks"

EXAMPLES = """examples (each as ARGS="…" of make bench):
  --events 50000 --rounds 1                  a quick look: all contestants, one turn each
  --no-peers                                 worker, stock Faust and the empty fetch alone
  --peers bytewax pathway                    these two beside the three
  --with-trainer --events 8500000            a worker alone and one with a trainer
  --latency --rates 100 5000 --seconds 20    from send to read, and processor time, at two rates
  --curves --curve partitions --sizes 1 4    one curve at two sizes
  --publish                                  the result and its picture into docs/benchmarks, too

Close everything else first: each round notes how many cores others kept busy. Ratios within a round and
processor time in µs an event stand a busy machine better than rates. docs/benchmarks/README.md says how to read it.
"""


def arguments(about: str | None) -> argparse.Namespace:
    """What the person asked for."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=about,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _what(parser)
    _how_much(parser)
    parser.add_argument("--out", type=Path, help="JSON result (default: a file in build/bench)")
    parser.add_argument("--publish", action="store_true", help="write JSON and picture to docs/benchmarks, too")
    parser.add_argument("--docs", type=Path, help="the same, to another folder")
    given = parser.parse_args()
    given.events = given.events or (EVENTS_OF_A_POINT if given.curves else EVENTS)
    if given.events < LEAST_EVENTS:
        parser.error(f"--events: at least {LEAST_EVENTS:,}, or there is nothing to time")
    if given.sizes and not given.curve:
        parser.error("--sizes are those of one --curve")
    given.docs = given.docs or (DOCS if given.publish else None)
    given.peers = [] if given.no_peers or given.with_trainer else given.peers
    given.curve = given.curve or list(CURVES)
    return given


def _what(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to measure (default: throughput of all contestants)")
    kinds = what.add_mutually_exclusive_group()
    kinds.add_argument("--with-trainer", action="store_true", help="a worker alone and one with a trainer, no others")
    kinds.add_argument("--latency", action="store_true", help="from send to read at steady rates")
    kinds.add_argument("--curves", action="store_true", help="the worker against one quantity at a time")
    peers = what.add_mutually_exclusive_group()
    peers.add_argument(
        "--peers",
        nargs="+",
        choices=list(PEERS),
        default=list(PEERS),
        metavar="PEER",
        help=f"{ALL_OF} {', '.join(PEERS)}",
    )
    peers.add_argument("--no-peers", action="store_true", help="none")
    what.add_argument(
        "--curve", nargs="+", choices=list(CURVES), metavar="NAME", help=f"with --curves; {ALL_OF} {', '.join(CURVES)}"
    )


def _how_much(parser: argparse.ArgumentParser) -> None:
    much = parser.add_argument_group("how much")
    much.add_argument("--events", type=count, help="events to generate (default 300,000; 200,000 a point of a curve)")
    much.add_argument("--partitions", type=count, default=4, help="partitions of the events (default 4)")
    much.add_argument("--rounds", type=count, default=3, help="turns of each contestant (default 3)")
    much.add_argument("--stock-events", type=count, default=20_000, help="events for stock Faust (default 20,000)")
    much.add_argument("--rates", type=count, nargs="+", default=RATES, help="events per second (with --latency)")
    much.add_argument("--seconds", type=float, default=30.0, help="measured per rate (with --latency)")
    much.add_argument("--window", type=float, default=10.0, help="attribution window in s (with --latency)")
    much.add_argument("--sizes", type=float, nargs="+", help="values of the quantity (with --curve NAME)")
