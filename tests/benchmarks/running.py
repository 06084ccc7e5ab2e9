"""What every benchmark on Apache Kafka needs around it: a broker, clean settings, lines of progress, an orderly end."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sie_online.settings import KNOWN_ELSEWHERE
from tests.benchmarks import BENCH
from tests.benchmarks.arena import Arena
from tests.support.brokers import Broker, apache_kafka

TELL_EVERY_S = 5.0
BEGAN = time.monotonic()


@contextmanager
def kafka_arena(n_partitions: int) -> Iterator[tuple[Arena, Broker]]:
    """A broker and a folder; both are gone afterwards."""
    BENCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BENCH, prefix="run-") as folder:
        data = Path(folder) / "broker"
        data.mkdir()
        log("starting Apache Kafka")
        with apache_kafka(data) as broker:
            yield Arena(broker.address, Path(folder), n_partitions), broker


def log(line: str) -> None:
    """One line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {line}", flush=True)


def now_and_then(words: Callable[..., str]) -> Callable[..., None]:
    """Tells ``words`` at most every few seconds."""
    told = time.monotonic()

    def progress(*state: object) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            log(words(*state))

    return progress


def prepare() -> None:
    """Nothing a person has set for their own deployment reaches the contestants; SIGTERM ends as Ctrl-C does."""
    for name in list(os.environ):
        if name.startswith("SIE_") and name not in KNOWN_ELSEWHERE - {"SIE_CONFIG"}:
            del os.environ[name]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # what we started is ended


def count(text: str) -> int:
    """An argument of at least 1; thousands may be parted by commas."""
    number = int(text.replace(",", "").replace("_", ""))
    if number < 1:
        raise ValueError(f"{text} is no number of at least 1")
    return number
