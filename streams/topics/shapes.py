"""What shape each topic must have, and what to say of one that has another. Pure: knows no broker."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sie_online.moments import DAY_MS, HOUR_MS
from sie_online.settings import Settings

KEPT_AFTER_WINDOW_MS = 7 * DAY_MS
"""Statements stay this long after the attribution window in which they may be revised."""

BROKER_DEFAULT_BYTES = 1_048_588
"""Kafka's default of ``max.message.bytes``, named so that a broker's own smaller default does not come through."""

Cleanup = Literal["delete", "compact"]
Change = Literal["", "created", "grown"]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must be. ``follows_events``: one partition for each of the input's, addressed by its number."""

    name: str
    partitions: int
    cleanup: Cleanup
    retention_ms: int | None
    message_bytes: int
    follows_events: bool = False

    def config(self, replication: int) -> dict[str, str]:
        """The topic's configuration on creation."""
        config = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(max(BROKER_DEFAULT_BYTES, self.message_bytes)),
        }
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        if replication >= 3:  # with fewer, the loss of one broker would already stop all writing
            config["min.insync.replicas"] = str(replication - 1)
        return config


@dataclass(frozen=True, slots=True)
class TopicState:
    """What a topic is; ``replicas`` are the fewest of a partition, ``change`` says what ``create_topics`` did to it."""

    name: str
    partitions: int
    replicas: int
    cleanup: str
    retention_ms: int
    message_bytes: int
    change: Change = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """All topics that exist, what forbids to start, and what merely deserves a look; full sentences.

    ``unmet`` is what somebody asked for that topics which exist do not have; a worker can run on them all the same.
    """

    topics: dict[str, TopicState]
    problems: list[str]
    notes: list[str]
    unmet: list[str]


def specs(settings: Settings, n_partitions: int | None = None) -> dict[str, TopicSpec]:
    """The topics by name, as ``settings`` use them; ``n_partitions`` is the input's where it exists already."""
    topics = settings.topics
    n = n_partitions or topics.partitions
    events_ms = round(topics.events_retention_h * HOUR_MS)
    statements_ms = settings.labels.settles_after_ms + KEPT_AFTER_WINDOW_MS
    largest = settings.kafka.max_message_bytes
    made = [
        TopicSpec(topics.events, n, "delete", events_ms, settings.limits.value_bytes),
        TopicSpec(topics.weights, n, "delete", statements_ms, largest, follows_events=True),
        TopicSpec(topics.samples, n, "delete", statements_ms, largest, follows_events=True),
        TopicSpec(topics.entities, n, "compact", None, largest),
        TopicSpec(topics.models, 1, "compact", None, largest),
        TopicSpec(topics.dead_letters, n, "delete", max(events_ms, KEPT_AFTER_WINDOW_MS), largest),
    ]
    if settings.recommend.publish:
        made.append(TopicSpec(topics.recs, n, "compact", None, largest, follows_events=True))
    return {spec.name: spec for spec in made}


def examine(settings: Settings, found: Mapping[str, TopicState], names: Collection[str] | None = None) -> Findings:
    """Hold what there is of ``names`` (None: of all our topics) against what must be; pure."""
    events = found.get(settings.topics.events)
    wanted = specs(settings, events.partitions if events else None)
    wanted = {name: spec for name, spec in wanted.items() if names is None or name in names}
    problems: list[str] = []
    notes: list[str] = []
    if missing := [name for name in wanted if name not in found]:
        verb = "does" if len(missing) == 1 else "do"
        problems.append(f"{', '.join(missing)} {verb} not exist: run {create_line(settings)}")
    for name in (name for name in wanted if name in found):
        problems += _problems(settings, wanted[name], found[name])
        notes += _notes(wanted[name], found[name])
    there = {name: found[name] for name in wanted if name in found}
    return Findings(there, problems, notes, list(_unmet(settings, there)))


def _unmet(settings: Settings, found: Mapping[str, TopicState]) -> Iterator[str]:
    """Of the shape that the settings name, and do not merely have by default, what ``found`` does not have."""
    asked, at = settings.topics, f"--bootstrap-server {settings.broker}"
    events = found.get(asked.events)
    if "partitions" in asked.model_fields_set and events and events.partitions != asked.partitions:
        yield (
            f"topic {events.name} has {events.partitions} partitions, not {asked.partitions}, and stays as it is: "
            + (
                f"to have {asked.partitions}, run kafka-topics.sh {at} --alter --topic {events.name} --partitions"
                f" {asked.partitions} and {create_line(settings)}, then start the workers with --accept-repartition, as"
                " users change partitions"
                if events.partitions < asked.partitions
                else "Kafka takes no partitions away"
            )
        )
    other = [state for state in found.values() if state.replicas != asked.replication]
    if "replication" in asked.model_fields_set and other:
        have = ", ".join(f"{state.name} {state.replicas}" for state in other)
        yield (
            f"of replicas, not {asked.replication} each but as before have: {have}; kafka-reassign-partitions.sh {at}"
            " changes that"
        )


def create_line(settings: Settings) -> str:
    """The command that makes what is missing."""
    return f"SIE_BROKER={settings.broker} sie topics create"


def _problems(settings: Settings, spec: TopicSpec, state: TopicState) -> Iterator[str]:
    brokers = settings.broker
    if spec.follows_events and state.partitions < spec.partitions:
        yield (
            f"topic {spec.name} has {state.partitions} partitions and {settings.topics.events} {spec.partitions}: it"
            f" needs as many; run {create_line(settings)}"
        )
    if spec.name == settings.topics.models and state.partitions != 1:
        yield (
            f"topic {spec.name} has {state.partitions} partitions: announcements have an order, so it must have one;"
            f" delete it (kafka-topics.sh --bootstrap-server {brokers} --delete --topic {spec.name}) and run"
            f" {create_line(settings)}"
        )
    alter = f"kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {spec.name}"
    if state.cleanup != spec.cleanup:
        yield (
            f"topic {spec.name} has cleanup.policy={state.cleanup} and needs {spec.cleanup}:"
            f" run {alter} --add-config cleanup.policy={spec.cleanup}"
        )
    if state.message_bytes < spec.message_bytes and spec.name != settings.topics.events:
        yield (
            f"topic {spec.name} admits messages of {state.message_bytes} bytes and ours have up to"
            f" {spec.message_bytes}: run {alter} --add-config max.message.bytes={spec.config(1)['max.message.bytes']},"
            " or lower SIE_KAFKA__MAX_MESSAGE_BYTES"
        )


def _notes(spec: TopicSpec, state: TopicState) -> Iterator[str]:
    if spec.follows_events and state.partitions > spec.partitions:
        yield (
            f"topic {spec.name} has {state.partitions} partitions, more than the input's {spec.partitions}:"
            " some stay empty"
        )
    if spec.follows_events and spec.retention_ms and 0 <= state.retention_ms < spec.retention_ms:
        yield (
            f"topic {spec.name} keeps rows for {state.retention_ms / HOUR_MS:g} h, less than the attribution window and"
            f" 7 days ({spec.retention_ms / HOUR_MS:g} h): a subscriber that was away may miss rows"
        )
