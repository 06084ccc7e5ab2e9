"""The topics: what shape each must have, making them, and refusing to start on those that have another.

Owns shapes and checks; names and numbers come from the settings. Nothing here alters a topic's configuration: what a
person has set, a person changes (the message carries the command).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from sie_online.client.access import Needs, Operation, refusal, require
from sie_online.errors import AccessError, TopicError
from sie_online.moments import DAY_MS, HOUR_MS
from sie_online.settings import Settings
from streams.brokers import broker_admin

log = logging.getLogger(__name__)

KEPT_AFTER_WINDOW_MS = 7 * DAY_MS
"""Statements stay this long after the attribution window in which they may be revised."""

BROKER_DEFAULT_BYTES = 1_048_588
"""Kafka's default of ``max.message.bytes``, named so that a broker's own smaller default does not come through."""

VISIBLE_POLL_S = 0.05
"""Between looks whether new topics have reached the brokers' metadata (real Kafka: some 100 ms)."""

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


async def create_topics(settings: Settings) -> Findings:
    """Make the topics that are missing, and give weights, samples and recs as many partitions as the input has.

    May be repeated: what exists stays as it is. Missing outputs get as many partitions as an existing input topic.

    Raises:
        TopicError: the broker refuses a topic; carries its reason.
        AccessError: an ACL is missing.
        UnreachableError: no answer within ``kafka.request_timeout_s``.
    """
    async with broker_admin(settings) as admin:
        await require(admin._client, settings, _to_look(settings))
        before = await _describe(admin, settings, specs(settings))
        events = before.get(settings.topics.events)
        wanted = specs(settings, events.partitions if events else None)
        missing = [spec for spec in wanted.values() if spec.name not in before]
        small = [
            spec
            for spec in wanted.values()
            if spec.follows_events and spec.name in before and before[spec.name].partitions < spec.partitions
        ]
        await _create(admin, settings, missing)
        await _grow(admin, settings, small)
        changes: dict[str, Change] = {spec.name: "created" for spec in missing}
        changes |= {spec.name: "grown" for spec in small}
        after = await _until_visible(admin, settings, {name: wanted[name].partitions for name in changes})
    return examine(settings, {name: replace(state, change=changes.get(name, "")) for name, state in after.items()})


async def check_topics(settings: Settings, needs: Needs) -> dict[str, TopicState]:
    """The topics of ``needs`` by name, all as they must be; what merely deserves a look is logged.

    Raises:
        AccessError: the brokers do not allow what ``needs`` says; one line for each topic, group and id.
        TopicError: a topic is missing or has the wrong shape; one line each, with the command that mends it.
        UnreachableError: no answer within ``kafka.request_timeout_s``.
    """
    async with broker_admin(settings) as admin:
        await require(admin._client, settings, needs)
        findings = examine(settings, await _describe(admin, settings, needs.topics), needs.topics)
    if findings.problems:
        raise TopicError("\n".join(findings.problems))
    for note in (*findings.notes, *findings.unmet):
        log.warning(note)
    return findings.topics


async def find_topics(settings: Settings) -> Findings:
    """What there is, good or not.

    Raises:
        AccessError: the brokers do not let us look.
        UnreachableError: no answer within ``kafka.request_timeout_s``.
    """
    async with broker_admin(settings) as admin:
        await require(admin._client, settings, _to_look(settings))
        return examine(settings, await _describe(admin, settings, specs(settings)))


def _to_look(settings: Settings) -> Needs:
    """What it takes to see all topics; who may not even describe one would take it for missing."""
    return Needs(dict.fromkeys(specs(settings), ("Describe", "DescribeConfigs")))


async def _describe(admin: AIOKafkaAdminClient, settings: Settings, names: Collection[str]) -> dict[str, TopicState]:
    """Those of ``names`` that exist. Asks for all topics: asking for one by name may create it."""
    partitions = {t["topic"]: t["partitions"] for t in await admin.describe_topics() if t["topic"] in names}
    if not partitions:
        return {}
    keys = dict.fromkeys(("cleanup.policy", "max.message.bytes", "retention.ms"), "")
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, keys) for name in partitions]
    found = {}
    for response in await admin.describe_configs(wanted):
        for code, message, _, name, entries in response.resources:
            _raise_for(code, name, message)
            found[name] = _state(name, partitions[name], {entry[0]: entry[1] for entry in entries})
    return found


def _state(name: str, partitions: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> TopicState:
    return TopicState(
        name=name,
        partitions=len(partitions),
        replicas=min((len(partition["replicas"]) for partition in partitions), default=0),
        cleanup=",".join(sorted(str(config["cleanup.policy"]).replace(" ", "").split(","))),
        retention_ms=int(config["retention.ms"]),
        message_bytes=int(config["max.message.bytes"]),
    )


async def _create(admin: AIOKafkaAdminClient, settings: Settings, missing: list[TopicSpec]) -> None:
    if not missing:
        return
    replication = settings.topics.replication
    response = await admin.create_topics(
        [NewTopic(t.name, t.partitions, replication, topic_configs=t.config(replication)) for t in missing]
    )
    _raise_for_access(settings, "Create", response.topic_errors)
    for name, code, message in response.topic_errors:
        if code != TopicAlreadyExistsError.errno:  # someone was faster: as good
            _raise_for(code, name, message)


async def _grow(admin: AIOKafkaAdminClient, settings: Settings, small: list[TopicSpec]) -> None:
    for spec in small:
        try:
            await admin.create_partitions({spec.name: NewPartitions(spec.partitions)})
        except TopicAuthorizationFailedError:
            raise refusal(settings, "topic", spec.name, "Alter") from None
        except BrokerResponseError as error:
            raise TopicError(f"topic {spec.name}: the broker refuses: {error}") from None


async def _until_visible(
    admin: AIOKafkaAdminClient, settings: Settings, partitions: Mapping[str, int]
) -> dict[str, TopicState]:
    """Wait until every broker we may ask tells of the change; the admin client's deadline bounds it."""
    while True:
        try:
            found = await _describe(admin, settings, specs(settings))
        except TopicError:  # listed already, but its configuration is not there yet
            found = {}
        if all(name in found and found[name].partitions >= n for name, n in partitions.items()):
            return found
        await asyncio.sleep(VISIBLE_POLL_S)


def _raise_for_access(settings: Settings, operation: Operation, errors: Iterable[tuple[str, int, str | None]]) -> None:
    refused = (TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno)
    if topics := [name for name, code, _ in errors if code in refused]:
        raise AccessError("\n".join(str(refusal(settings, "topic", name, operation)) for name in topics))


def _raise_for(code: int, topic: str, message: str | None) -> None:
    if code:
        raise TopicError(f"topic {topic}: the broker refuses: {message or for_code(code).__name__}")
