"""What ``sie config sizing`` says: a worker's memory and scratch disk at most, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from sie_online.settings import Settings
from sie_online.shard.sizing import PartSize, part_sizes

PROCESS_BYTES = 300_000_000
"""Resident memory of a worker that has just begun: Python, libraries, kernels (measured: docs/sizing.md)."""


@dataclass(frozen=True)
class WorkerSizes:
    """Bytes at most of a worker with ``partitions``; ``shard`` is what each of them takes, ``waiting`` is of all."""

    partitions: int
    shard: list[PartSize]
    waiting: dict[str, int]

    @classmethod
    def of(cls, settings: Settings, partitions: int) -> WorkerSizes:
        """Under ``settings``."""
        kafka = settings.kafka
        bounds = {"max_in_flight_bytes": kafka.max_in_flight_bytes, "max_unacked_bytes": kafka.max_unacked_bytes}
        shard = part_sizes(settings)
        if settings.api.enabled:
            kept = settings.api.recent_bytes
            shard.append(PartSize("weights to be asked for", "api.recent_bytes", kept, kept))
        return cls(partitions, shard, {f"kafka.{name}": size for name, size in bounds.items()})

    @property
    def memory(self) -> int:
        """Of the whole worker."""
        shards = self.partitions * sum(part.memory for part in self.shard)
        return PROCESS_BYTES + shards + sum(self.waiting.values())

    @property
    def disk(self) -> int:
        """Scratch files of the whole worker."""
        return self.partitions * sum(part.disk for part in self.shard)

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        shard = [part._asdict() for part in self.shard]
        total = {"memory": self.memory, "disk": self.disk, "process": PROCESS_BYTES}
        return asdict(self) | {"shard": shard} | total


def table(sizes: WorkerSizes) -> Table:
    """The same for people."""
    shown = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption="at most: memory and disk (scratch files) are taken as needed",
    )
    for title in ("what", "bounded by", "places", "memory", "disk"):
        shown.add_column(title, justify="left" if title in ("what", "bounded by") else "right")
    for row in _rows(sizes):
        shown.add_row(*row)
    shown.add_section()
    shown.add_row("worker, at most", "", "", _mb(sizes.memory), _mb(sizes.disk), style="bold")
    return shown


def _rows(sizes: WorkerSizes) -> Iterator[tuple[str, ...]]:
    for part in sizes.shard:
        places = f"{part.places:,}" if part.setting else ""
        yield part.name, part.setting or "", places, _mb(part.memory), _mb(part.disk)
    memory, disk = (sum(getattr(part, kind) for part in sizes.shard) for kind in ("memory", "disk"))
    yield "one partition", "", "", _mb(memory), _mb(disk)
    yield f"× {sizes.partitions} partitions", "", "", _mb(sizes.partitions * memory), _mb(sizes.partitions * disk)
    for setting, size in sizes.waiting.items():
        yield "records that wait", setting, "", _mb(size), ""
    yield "the process itself", "", "", _mb(PROCESS_BYTES), ""


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size else ""
