"""Figures of every fine-tune under the store: TensorBoard event files, or JSON lines where ``tensorboard`` is absent.

One file per fine-tune in one folder (``tensorboard --logdir <store>/models/net/runs``), written whole when it has
ended, whatever the outcome. Steps are seconds since 1970, so that fine-tunes of all trainers of a store line up.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from typing import NamedTuple

from sie_online.announcements import NET
from streams.model_registry.artifacts import folder
from streams.store import Part, Store

RUNS = f"{folder(NET)}/runs"
FILES = 1_000
"""Files kept; a fine-tune's has some kilobytes."""


class Scalar(NamedTuple):
    """One figure at one moment (seconds since 1970)."""

    time_s: float
    name: str
    value: float


class Scalars:
    """The figures of one fine-tune, in memory until ``save``."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._began_s = time.time()
        self._found: list[Scalar] = []

    def add(self, figures: Mapping[str, float | None], prefix: str) -> None:
        """Figures of this moment as ``<prefix>/<name>``; what is undefined is left out."""
        now_s = time.time()
        self._found += [
            Scalar(now_s, f"{prefix}/{name}", value) for name, value in figures.items() if value is not None
        ]

    def save(self, store: Store) -> str:
        """Write the file; its name. The oldest go where there are too many.

        Raises:
            UnreachableError: the store does not take it.
        """
        ending, content = self._encoded()
        name = f"events.out.tfevents.{int(self._began_s)}.{self._version}{ending}"
        store.put(f"{RUNS}/{name}", [Part.of(content)])
        for old in sorted(store.list(RUNS))[:-FILES]:
            store.delete(f"{RUNS}/{old}")
        return f"{RUNS}/{name}"

    def _encoded(self) -> tuple[str, bytes]:
        try:
            return "", as_events(self._began_s, self._found)
        except ModuleNotFoundError:
            return ".jsonl", as_json_lines(self._found)


def as_events(began_s: float, scalars: list[Scalar]) -> bytes:
    """The content of a TensorBoard event file."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    writer = RecordWriter(file)
    writer.write(Event(wall_time=began_s, file_version="brain.Event:2").SerializeToString())
    for time_s, name, value in scalars:
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        writer.write(Event(wall_time=time_s, step=int(time_s), summary=summary).SerializeToString())
    return file.getvalue()


def as_json_lines(scalars: list[Scalar]) -> bytes:
    """One object per figure: wall_time, step, tag, value."""
    lines = [
        json.dumps({"wall_time": time_s, "step": int(time_s), "tag": name, "value": value})
        for time_s, name, value in scalars
    ]
    return "".join(f"{line}\n" for line in lines).encode()
