"""The long run: ``python -m tests.fuzz.run --target events --inputs 1000000``.

Inputs are made and tried in a process of its own. Whatever ends it (an exception, a segmentation fault, too much memory
or time), the input at fault is written to ``build/fuzz`` and said, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import multiprocessing
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS

FOUND = Path("build/fuzz")
ROOM = 1 << 24
"""Of the memory in which parent and child share the inputs at work."""
MEMORY = 1 << 30
"""What the child may take beyond what it has when it begins."""
LOT_S = 20


class Noted:
    """The inputs at work and how many were tried before, readable after a child's death."""

    def __init__(self) -> None:
        self._room = mmap.mmap(-1, ROOM)

    def write(self, done: int, inputs: Sequence[bytes]) -> None:
        """Note what is about to be tried."""
        self._room.seek(0)
        for number in (done, len(inputs), *map(len, inputs)):
            self._room.write(number.to_bytes(8, "little"))
        self._room.write(b"".join(inputs))

    def read(self) -> tuple[int, list[bytes]]:
        """What was noted last."""
        self._room.seek(0)
        done, count = (int.from_bytes(self._room.read(8), "little") for _ in range(2))
        sizes = [int.from_bytes(self._room.read(8), "little") for _ in range(count)]
        return done, [self._room.read(size) for size in sizes]


def attempt(name: str, inputs: int, seed: int, seconds: float, noted: Noted) -> None:
    """Try ``inputs`` inputs, or as many as ``seconds`` allow; in the child."""
    target, rng = TARGETS[name], random.Random(seed)
    seeds = target.seeds()
    target.check(seeds)
    _, used = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + MEMORY, used))
    began, done = time.monotonic(), 0
    while done < inputs and time.monotonic() - began < seconds:
        lot = [mutated(rng, seeds, target.mutations) for _ in range(min(target.lot, inputs - done))]
        noted.write(done, lot)
        signal.alarm(LOT_S)
        target.check(lot)
        done += len(lot)
    signal.alarm(0)
    noted.write(done, [])


def child(name: str, inputs: int, seed: int, seconds: float, noted: Noted) -> None:
    """``attempt`` with its exception told."""
    try:
        attempt(name, inputs, seed, seconds, noted)
    except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
        traceback.print_exc()
        raise SystemExit(1) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and say what came of it."""
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=...", description=__doc__)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="default: all")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each target")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each target at most")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    results = [_run(name, given.inputs, given.seed, given.seconds) for name in given.target or TARGETS]
    return 0 if all(results) else 1


def _run(name: str, inputs: int, seed: int, seconds: float) -> bool:
    noted, began = Noted(), time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=child, args=(name, inputs, seed, seconds, noted))
    process.start()
    process.join()
    done, lot = noted.read()
    print(f"{name}: {done:,} inputs in {time.monotonic() - began:.0f} s, exit code {process.exitcode}", flush=True)
    for data in lot:
        FOUND.mkdir(parents=True, exist_ok=True)
        path = FOUND / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
        path.write_bytes(data)
        print(f"  at work: {path}", flush=True)
    return process.exitcode == 0


if __name__ == "__main__":
    sys.exit(main())
