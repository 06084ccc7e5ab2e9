"""What a demo is asked for, and the settings that broker, worker and subscriber then share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sie_online.errors import UsageError
from sie_online.settings import ROW_SECTIONS, Checkpoint, Kafka, Settings, Topics, Watchdog, load
from sie_online.simulator import Scenario

EVENTS = 60_000
SECONDS = 40.0  # of replay; set-up, maturing and the report make it a minute
PARTITIONS = 4
LEAST_WITH_TRAINER = 20_000


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """``rate`` in events per second; ``directory`` holds everything the demo writes."""

    events: int
    rate: float
    seed: int
    directory: Path
    trainer: bool = True

    @classmethod
    def of(
        cls,
        rate: float | None,
        seconds: float | None,
        events: int | None,
        seed: int,
        directory: Path,
        trainer: bool = True,
    ) -> DemoPlan:
        """Fill in what is not said: any two of rate, seconds and events give the third."""
        if rate and seconds and events and abs(rate * seconds - events) > 0.01 * events:
            raise UsageError("--rate, --seconds and --events contradict each other: give two of them")
        if events is None:
            events = max(1_000, round(rate * seconds)) if rate and seconds else EVENTS
        if trainer and events < LEAST_WITH_TRAINER:
            raise UsageError(
                f"a net learns nothing from {events:,} events: ask for {LEAST_WITH_TRAINER:,} or more, or --no-trainer"
            )
        return cls(events, rate or events / (seconds or SECONDS), seed, directory.absolute(), trainer)

    @property
    def scenario(self) -> Scenario:
        """The generated stream."""
        return Scenario(events=self.events, seed=self.seed)

    def settings(self, own: Settings, broker: str, web_port: int, trainer_port: int) -> Settings:
        """The person's ``own`` settings where they shape rows, and this demo's for everything around them."""
        rows = own.model_dump(include=set(ROW_SECTIONS))
        around: dict[str, Any] = {
            "broker": broker,
            "group": "sie-demo",
            "instance_id": "",
            "store": (self.directory / "store").as_uri(),
            "log_level": "info",
            "kafka": _defaults(Kafka),
            "topics": _defaults(Topics) | {"partitions": PARTITIONS},
            "checkpoint": _defaults(Checkpoint),
            "watchdog": _defaults(Watchdog),
            "web": {"host": "127.0.0.1", "port": web_port},
            "trainer": self._trainer(trainer_port),
        }
        return load(rows | around)

    def _trainer(self, port: int) -> dict[str, Any]:
        """Fine-tunes often enough for a minute; what passes is in force a moment later."""
        often = max(200, self.events // 12)
        return {
            "every_samples": often,
            "every_s": 10.0,
            "min_samples": often,
            "ahead_s": 1.0,
            "fine_tune": {"threads": 1},
            "noise": {"enabled": False},  # a fit takes as long as the demo; the default serves
            "web": {"host": "127.0.0.1", "port": port},
        }


def _defaults(section: type[BaseModel]) -> dict[str, Any]:
    return section.model_construct().model_dump()


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment with ``settings``, and no other setting of ours, for a child to read."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("SIE_") or name == "SIE_CACHE_DIR"}
    defaults = dict(_flat(Settings.model_construct().model_dump(mode="json")))
    changed = {name: value for name, value in _flat(settings.model_dump(mode="json")) if value != defaults.get(name)}
    return kept | {name: value if isinstance(value, str) else json.dumps(value) for name, value in changed.items()}


def _flat(values: Mapping[str, Any], prefix: str = "SIE_") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", value
