"""The topics at the brokers: looked at, made, grown and, where their shape forbids to start, refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

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
from sie_online.settings import Settings
from streams.brokers import broker_admin
from streams.topics.shapes import Change, Findings, TopicSpec, TopicState, examine, specs

log = logging.getLogger(__name__)

VISIBLE_POLL_S = 0.05
"""Between looks whether new topics have reached the brokers' metadata (real Kafka: some 100 ms)."""


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
