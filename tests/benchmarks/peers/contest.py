"""A peer as a contestant: its script in its own interpreter, from its first event to its last."""

from __future__ import annotations

from tests.benchmarks.arena import EVENTS, Arena
from tests.benchmarks.contestants import Run, folder, result_of, watched_pids
from tests.benchmarks.cpu import CpuWatch
from tests.benchmarks.peers import Peer
from tests.benchmarks.peers.environments import UnavailableError, interpreter
from tests.support.brokers import Broker
from tests.support.workers import worker_pool

RUN_S = 180


def run_peer(arena: Arena, broker: Broker, name: str, peer: Peer) -> Run:
    """All events once through ``peer``.

    Raises:
        UnavailableError: it cannot be installed, ended early, or did not get through in ``RUN_S``.
    """
    settings, home = arena.settings(name), folder(arena, name)
    given = {"broker": arena.broker, "topic": EVENTS, "group": settings.group, "folder": str(home / "state")}
    arguments = [text for option, value in given.items() for text in (f"--{option}", value)]
    command = (
        *("env", "-u", "PYTHONPATH"),  # nothing of ours is importable
        *(str(interpreter(peer)), str(peer.path)),
        *arguments,
        *("--records", str(arena.records)),
    )
    with worker_pool(settings, home, command) as start:
        process = start()
        try:
            with CpuWatch(watched_pids(process, broker)) as watch:
                result = result_of(process, RUN_S)
        except AssertionError as error:
            raise UnavailableError(_why(error, process.text())) from None
    first_ms, last_ms = result["first_ms"], result["last_ms"]
    return Run(peer.name, int(result["records"]), (last_ms - first_ms) / 1000, watch.cores(first_ms, last_ms))


def _why(error: AssertionError, log: str) -> str:
    """The last line that it logged, or that it did not get through."""
    lines = log.strip().splitlines()
    return lines[-1][:200] if lines else str(error).partition(";")[0]
