"""Trainer processes for tests: started and watched, and what they have announced."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sie_online.announcements import RegisteredModel
from sie_online.settings import Settings
from streams.model_registry.history import read_registered
from tests.support.workers import SIE_TRAINER, WorkerProcess


@contextmanager
def running(settings: Settings, folder: Path, name: str = "trainer") -> Iterator[WorkerProcess]:
    """A trainer process, killed at the end of the block if it still runs."""
    process = WorkerProcess(settings, folder / f"{name}.log", SIE_TRAINER)
    try:
        yield process
    finally:
        if process.running:
            process.resume()
            process.kill()


def registered_net(settings: Settings) -> RegisteredModel:
    """What the models topic says of the net now."""
    return asyncio.run(read_registered(settings))


def outcome(process: WorkerProcess, nth: int = 1, timeout_s: float = 90) -> str:
    """What became of the n-th fine-tune."""

    def look() -> str | None:
        found = re.findall(r"fine-tune ended .*outcome=(\w+)", process.text())
        return found[nth - 1] if len(found) >= nth else None

    return process.until(look, f"end of fine-tune {nth}", timeout_s)


def page(process: WorkerProcess, path: str) -> str:
    """A page of the trainer's site."""
    url = process.wait_for(r"url=(\S+)").group(1)
    with urllib.request.urlopen(f"{url}{path}", timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())
