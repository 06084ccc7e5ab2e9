"""All of sie-online on this machine, on real Apache Kafka, with events that keep coming, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import sys
from itertools import groupby
from pathlib import Path

import aiohttp
from rich.text import Text

from deploy.stack.answers import DASHBOARDS, Asked, ask_all
from deploy.stack.plan import RATE, StackPlan
from deploy.stack.prometheus import Prometheus
from deploy.stack.stage import run_stack
from sie_online.errors import SieError
from streams import extras
from streams.cli.terminal import Terminal

ANSWERED_WITHIN_S = 240.0  # of a busy machine: torch alone takes a minute to import there
INTERRUPTED = 130

out, err = Terminal(), Terminal(stderr=True)


def main() -> int:
    """The command; returns its exit code."""
    given = _arguments()
    anywhere = given.check or given.free_ports
    try:
        plan = (StackPlan.anywhere if anywhere else StackPlan.usual)(given.out.absolute(), given.rate)
        if given.check:
            return _told(run_stack(plan, err, lambda: _asked(plan)))
        run_stack(plan, err, lambda: _shown(plan))
    except SieError as error:
        err.print(Text(f"stack: {error}"), soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        err.print("Stopped: everything that was started.")
        return INTERRUPTED if given.check else 0
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make stack", description=__doc__)
    parser.add_argument("--rate", type=float, default=RATE, help="events per second (default: %(default)g)")
    parser.add_argument(
        "--out", type=Path, default=Path("build/stack"), help="folder for all data (default: %(default)s)"
    )
    parser.add_argument("--free-ports", action="store_true", help="on ports that are free instead of the usual ones")
    parser.add_argument(
        "--check", action="store_true", help="on free ports, until every query of the dashboards is answered; then stop"
    )
    return parser.parse_args()


async def _shown(plan: StackPlan) -> None:
    """Say where everything is, and let it run."""
    ports, activate = plan.ports, extras.activate_line()
    tail = f"SIE_BROKER=127.0.0.1:{ports.kafka} sie tail weights" + (f" (after {activate})" if activate else "")
    out.print(
        Text(f"""
  Status page   http://127.0.0.1:{ports.worker}/
  Trainer       http://127.0.0.1:{ports.trainer}/
  Prometheus    http://127.0.0.1:{ports.prometheus}/alerts
  Dashboards    import {DASHBOARDS}/*.json into a Grafana that has this Prometheus as a data source
  Kafka         127.0.0.1:{ports.kafka}, as in: {tail}
  Lake          {plan.directory / "lake"}: sie sink writes final rows there
  Logs, data    {plan.directory}

{plan.rate:g} events/s come until Ctrl-C ends everything.
"""),
        soft_wrap=True,
    )
    await asyncio.Event().wait()


async def _asked(plan: StackPlan) -> list[Asked]:
    err.print("Asking Prometheus what the dashboards ask ...")
    async with aiohttp.ClientSession() as session:
        prometheus = Prometheus(f"http://127.0.0.1:{plan.ports.prometheus}", session)
        return await ask_all(prometheus, ANSWERED_WITHIN_S)


def _told(queries: list[Asked]) -> int:
    """Print how many series answered each query, and the first of their numbers; the exit code."""
    for dashboard, asked in groupby(queries, key=lambda query: query.dashboard):
        out.print(dashboard)
        for query in asked:
            first = f"{query.numbers[0]:.6g}" if query.numbers else "NONE"
            out.print(f"  {len(query.numbers):>4} {first:>12}  {query.panel}", soft_wrap=True)
    unanswered = [query for query in queries if not query.numbers]
    out.print(f"{len(queries) - len(unanswered)} of {len(queries)} queries answered")
    for query in unanswered:
        out.print(f"not answered: {query.dashboard}, {query.panel}: {query.promql}", soft_wrap=True)
    return SieError.exit_code if unanswered else 0


if __name__ == "__main__":
    sys.exit(main())
