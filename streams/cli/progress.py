"""A progress bar on stderr: a moving one on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from streams.cli.common import err

PLAIN_EVERY_S = 5.0
LOADING_S = 3.0
"""Kernels that were compiled before are loaded in less; then nothing is said."""
LOOK_EVERY_S = 0.2
COMPILING = "Compiling the kernels, kept for the next time"


class _Pace(ProgressColumn):
    """Units (events) so far and per second."""

    def render(self, task: Task) -> Text:
        count = int(task.fields["count"])
        rate = count / task.elapsed if task.elapsed else 0.0
        return Text(f"{count:,} {task.fields['unit']}  {rate:,.0f}/s", style="cyan")


@contextmanager
def progress(what: str, unit: str = "events") -> Iterator[Callable[[int, float], None]]:
    """A function to call with (units so far, share done in [0, 1])."""
    if not err.is_terminal:
        yield _plain(what, unit)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), _Pace())
    with Progress(*columns, TimeRemainingColumn(), console=err) as bars:
        task = bars.add_task(what, total=1.0, count=0, unit=unit)
        yield lambda count, share: bars.update(task, completed=share, count=count)


@contextmanager
def steps(what: str) -> Iterator[Callable[[str, float], None]]:
    """A function to call with (what is being done now, share of it in [0, 1])."""
    if not err.is_terminal:
        yield _plain_steps(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), console=err) as bars:
        task = bars.add_task(what, total=1.0)
        yield lambda step, share: bars.update(task, description=f"{what}: {step}", completed=share)


@contextmanager
def compiling() -> Iterator[None]:
    """Tell how many kernels are there, while the body has them compiled; where it only loads them, nothing."""
    done = threading.Event()
    teller = threading.Thread(target=_tell_kernels, args=(done,), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell_kernels(done: threading.Event) -> None:
    from sie_online import jit  # with it comes numba

    if jit.folders.there and done.wait(LOADING_S):
        return
    with steps(COMPILING) as report:
        while True:
            ready, of = jit.progress()
            report(f"{ready} of {of} functions", ready / of)
            if done.wait(LOOK_EVERY_S):
                return


def _plain_steps(what: str) -> Callable[[str, float], None]:
    begin = time.monotonic()
    last = begin - PLAIN_EVERY_S  # the first step is told at once

    def report(step: str, share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_EVERY_S:
            last = now
            err.print(f"{what}: {step}, {share:.0%}, {now - begin:.0f} s", soft_wrap=True)

    return report


def _plain(what: str, unit: str) -> Callable[[int, float], None]:
    begin = last = time.monotonic()

    def report(count: int, share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_EVERY_S:
            last = now
            rate = count / (now - begin)
            err.print(f"{what}: {count:,} {unit}, {share:.0%}, {rate:,.0f} {unit}/s")

    return report
