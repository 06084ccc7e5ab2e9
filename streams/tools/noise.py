"""Which noise model judged an event, and which evidence moved its opinion.

The version follows from the announcements. The evidence is published nowhere: it is recomputed, by a fresh shard that
processes the partition's log from its beginning to the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.noise.forward import signal_parts
from sie_online.announcements import NOISE
from sie_online.client.reader import Message, TopicReader
from sie_online.client.rows import WeightRow
from sie_online.contracts import NOISE_HEADS, TYPE_CODES
from sie_online.importance.noise import FACTOR
from sie_online.importance.noise.evidence import SIGNALS
from sie_online.importance.noise.model import NoiseArrays
from sie_online.importance.noise.walk import head_of
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Shard
from streams.model_registry.loaded import ArtifactOf
from streams.model_registry.recorded import schedule_announced
from streams.model_registry.registry import ModelRegistry
from streams.tools.influence import UnexplainedError

Progress = Callable[[int, float], None]
POLL_S = 1.0


@dataclass(frozen=True)
class Judge:
    """The noise model in force at an event; ``announcement`` 0: the default that is part of the package."""

    version: str
    announcement: int


@dataclass(frozen=True)
class Signal:
    """One signal of the evidence: its value in scales from what is ordinary, and what it added to the logit."""

    name: str
    value: float
    logit: float


@dataclass(frozen=True)
class MovedOpinion:
    """What moved a model's opinion of an event, judged as one of ``head``: the signal that moved it most comes first.

    Of the additive part of the model, which is half of it; what its net adds is no sum over signals.
    """

    head: str
    signals: tuple[Signal, ...]


def judge_of(registry: ModelRegistry, row: WeightRow) -> Judge:
    """The model by which revision 0 of the event was weighed."""
    registered = registry[NOISE]
    n = registered.adopted_by(row.partition, row.offset)
    return Judge(registered.in_force(n), n)


def head_number(settings: Settings, event_type: str) -> int:
    """Head of the model that judges events of this type."""
    return int(head_of(FACTOR.settings_of(settings), TYPE_CODES[event_type]))


def moved(model: NoiseArrays, evidence: NDArray[np.float32], head: int) -> MovedOpinion:
    """What each signal of ``evidence`` (N_SIGNALS,) added, by ``model``."""
    parts = signal_parts(model._asdict(), evidence[None], np.array([head]))[0] / 2
    signals = [Signal(*each) for each in zip(SIGNALS, evidence.tolist(), parts.tolist(), strict=True)]
    return MovedOpinion(NOISE_HEADS[head], tuple(sorted(signals, key=lambda each: -abs(each.logit))))


async def recomputed_evidence(
    settings: Settings, row: WeightRow, registry: ModelRegistry, artifact_of: ArtifactOf, on_progress: Progress
) -> NDArray[np.float32]:
    """The standardised evidence (N_SIGNALS,) of the event of ``row``.

    Raises:
        UnexplainedError: the log no longer begins at its beginning. UnreachableError: the brokers are away.
        LookupError: an announced version cannot be had.
    """
    shard = Shard(settings, row.partition)
    try:
        schedule_announced(shard, registry, artifact_of)
        async with TopicReader(settings, settings.topics.events) as reader:
            span = (await reader.spans()).get(row.partition)
            if span is None or span.first > 0 or span.end <= row.offset:
                raise UnexplainedError(f"the log of partition {row.partition} does not reach from 0 to {row.offset}")
            while shard.next_offset <= row.offset:
                _process(shard, await reader.poll(POLL_S), row.offset)
                on_progress(shard.next_offset, shard.next_offset / (row.offset + 1))
        return shard.noise_evidence()
    finally:
        shard.close()


def _process(shard: Shard, messages: Iterable[Message], last: int) -> None:
    """Those of the shard's partition, up to offset ``last``."""
    records = [each for each in messages if each.partition == shard.partition and each.offset <= last]
    if records:
        start, end = shard.next_offset, records[-1].offset + 1
        batch = RecordBatch.of(
            records, topic=records[0].topic, partition=shard.partition, epoch=0, start=start, end=end
        )
        for _ in shard.process(batch):
            pass
