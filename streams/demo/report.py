"""The figures at the end of a demo, and whether its books balance."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streams.demo.learners import Score
from streams.demo.training import Trained

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class DemoReport:
    """``events_in`` is what was written to the input topic; the four outcomes are what became of it.

    ``events_weighted`` is counted by a subscriber, ``dead_letters`` in their topic (each source record once),
    duplicates and heartbeats by the worker. AUCs are those of ``noise_probability`` at first statement against the
    generator's truth; None where a kind has not occurred. ``lag_end`` in records.
    """

    events_in: int
    events_weighted: int
    duplicates: int
    duplicates_planted: int
    heartbeats: int
    dead_letters: int
    dead_letters_planted: int
    noise_auc: float | None
    noise_auc_by_kind: dict[str, float | None]
    noise_planted_by_kind: dict[str, int]
    lag_end: int
    events_per_s: float
    seconds: float
    rate_asked: float
    seed: int
    weight_quantiles: dict[str, float]
    models: dict[str, Score]
    net: Trained | None
    """Of a demo with the trainer."""
    settings_fingerprint: str

    @property
    def problems(self) -> list[str]:
        """What does not add up; empty when all is well."""
        accounted = self.events_weighted + self.duplicates + self.heartbeats + self.dead_letters
        found = []
        if accounted != self.events_in:
            found.append(f"{self.events_in:,} events in, but {accounted:,} accounted for")
        if self.dead_letters != self.dead_letters_planted:
            found.append(f"{self.dead_letters} dead letters, but {self.dead_letters_planted} malformed records planted")
        if self.duplicates != self.duplicates_planted:
            found.append(f"{self.duplicates} duplicates found, but {self.duplicates_planted} planted")
        if self.lag_end:
            found.append(f"{self.lag_end} records of lag left at the end")
        return found + (self.net.problems if self.net else [])

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"balanced": not self.problems, "problems": self.problems}

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(self.document(), indent=2, allow_nan=False) + "\n")
