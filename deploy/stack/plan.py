"""What a stack is asked for: its folder, its addresses, and the settings that its processes share."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sie_online.errors import UsageError
from sie_online.settings import Settings, load
from streams.demo.children import free_port, listens

DEPLOY = Path(__file__).resolve().parents[1]
RATE = 20.0
WRITTEN = (
    *("kafka", "store", "lake", "prometheus"),
    *("kafka.log", "worker.log", "trainer.log", "sink.log", "prometheus.log"),
)
"""In the stack's folder; of an earlier stack they go."""
NEEDS = {
    "java": "apt-get install --no-install-recommends default-jre-headless",
    "mvn": "apt-get install --no-install-recommends maven",
    "prometheus": "apt-get install --no-install-recommends prometheus",
}
"""Programs, and what installs each on Debian and Ubuntu."""


class Ports(NamedTuple):
    """On the loopback interface."""

    kafka: int
    controller: int
    worker: int
    trainer: int
    sink: int
    prometheus: int


USUAL = Ports(kafka=9092, controller=9093, worker=8080, trainer=8081, sink=8083, prometheus=9090)


@dataclass(frozen=True, slots=True)
class StackPlan:
    """``rate`` in events per second; ``directory`` holds everything the stack writes."""

    directory: Path
    rate: float
    ports: Ports

    @classmethod
    def usual(cls, directory: Path, rate: float) -> StackPlan:
        """On the usual ports.

        Raises:
            UsageError: somebody listens on one of them.
        """
        if taken := [f"{port} ({name})" for name, port in USUAL._asdict().items() if listens(port)]:
            raise UsageError(f"ports taken: {', '.join(taken)}: end what listens there, or use --free-ports")
        return cls(directory, rate, USUAL)

    @classmethod
    def anywhere(cls, directory: Path, rate: float) -> StackPlan:
        """On ports that are free."""
        return cls(directory, rate, Ports(*(free_port() for _ in USUAL)))

    @property
    def lake(self) -> str:
        """Where the sink writes: plain Parquet, which needs no extra."""
        return f"parquet+{(self.directory / 'lake').as_uri()}"

    @property
    def settings(self) -> Settings:
        """The defaults, but for what lets labels settle and nets be judged while somebody watches.

        A view's label settles after ten minutes instead of a day. Fine-tunes are often and small; the noise model is
        fitted when the first have long ended: two cores carry all of it.
        """
        return load(
            {
                "broker": f"127.0.0.1:{self.ports.kafka}",
                "store": (self.directory / "store").as_uri(),
                "web": {"port": self.ports.worker},
                "labels": {"window_s": 600},
                "trainer": {
                    "web": {"port": self.ports.trainer},
                    "every_samples": 5_000,
                    "window_samples": 10_000,
                    "fine_tune": {"threads": 1},
                    "noise": {"min_events": 200_000, "mixtures": 6, "mixture_events": 10_000, "examples": 20_000},
                },
            }
        )


def require(needs: Mapping[str, str] = NEEDS) -> None:
    """See that every program is there.

    Raises:
        UsageError: one is not; says what installs it.
    """
    if missing := [program for program in needs if shutil.which(program) is None]:
        lines = "".join(f"\n  {needs[program]}" for program in missing)
        raise UsageError(f"the stack needs {', '.join(missing)}:{lines}")
