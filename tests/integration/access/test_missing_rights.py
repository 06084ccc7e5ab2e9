"""A right that is missing is named, with the line that gives it, before anything depends on it."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aiokafka.admin import NewPartitions

from sie_online import contracts
from sie_online.client.access import Needs, missing
from sie_online.errors import AccessError
from sie_online.settings import Settings
from streams import access
from streams.topics import check_topics, find_topics
from tests.support.access import NOBODY, As, Sie, grant, read, revoke, rights_of, roll_back, write
from tests.support.acls import administrator, change
from tests.support.events import event
from tests.support.secure_kafka import ADMIN
from tests.support.waiting import awaited, until
from tests.support.workers import SIE_WORKER, worker_pool


def sink(settings: Settings) -> Needs:
    """Of another system that reads as members of a group."""
    topics = settings.topics
    return Needs({topics.weights: ("Read",), topics.samples: ("Read",)}, group="connect-sie")


@pytest.mark.kafka
@pytest.mark.parametrize("role", [access.worker, access.trainer, sink])
def test_each_documented_right_is_needed_and_named_when_it_is_missing(
    as_user: As, role: Callable[[Settings], Needs]
) -> None:
    user = f"sie-{role.__name__}"
    settings = as_user(user)
    rights = rights_of(user)

    async def act() -> list[list[str]]:
        async with administrator(as_user(ADMIN)) as admin, administrator(settings) as mine:

            async def lacking() -> list[str]:
                return await missing(mine._client, settings, role(settings))

            # a change of rights reaches the broker a moment after the controller has taken it
            await awaited(lacking, "all rights", holds=lambda found: not found)
            told = []
            for acl in rights:
                await change(admin, revoke=[acl])
                told.append(await awaited(lacking, f"word that {acl} is missing"))
                await change(admin, grant=[acl])
                await awaited(lacking, f"{acl} again", holds=lambda found: not found)
            return told

    for acl, told in zip(rights, asyncio.run(act()), strict=True):
        (sentence,) = told
        kind = acl.kind.replace("_", "-")
        assert re.match(
            rf"principal User:{user} lacks .*\b{acl.operation}\b.* on {kind} {re.escape(acl.name)}:", sentence
        )
        assert f"--allow-principal User:{user}" in sentence
        assert f"--operation {acl.operation}" in sentence
        assert sentence.endswith(f"--{kind} {acl.name}")


COMMANDS = {
    ("sie-replay", "sie.events"): ("replay", "{events}", "--no-flush"),
    ("sie-erase", "sie.events"): ("erase", "--user", "u1", "--yes"),
    ("sie-erase", "sie."): ("erase", "--user", "u1", "--yes"),
    ("sie-erase", "sie.entities.v1"): ("erase", "--user", "u1", "--check"),
    ("sie-erase", "sie.recs.v1"): ("erase", "--user", "u1", "--check"),
    ("sie-reader", "sie.weights.v1"): ("tail", "weights", "--until-idle", "0.1"),
    ("sie-reader", "sie.samples.v1"): ("tail", "samples", "--until-idle", "0.1"),
    ("sie-reader", "sie.entities.v1"): ("tail", "entities", "--until-idle", "0.1"),
    ("sie-reader", "sie.recs.v1"): ("tail", "recs", "--until-idle", "0.1"),
    ("sie-reader", "sie.dead-letters.v1"): ("tail", "dead-letters", "--until-idle", "0.1"),
    ("sie-audit", "sie.events"): ("audit", "{rows}"),
    ("sie-audit", "sie.models.v1"): ("audit", "{rows}"),
    ("sie-audit", "sie.weights.v1"): ("explain", "an-event"),
    ("sie-audit", "sie.samples.v1"): ("tail", "samples", "--until-idle", "0.1"),  # as explain, once a net is in force
}
"""What needs each right of a role."""


@pytest.mark.kafka
@pytest.mark.parametrize("user", sorted({user for user, _ in COMMANDS}))
def test_a_command_under_a_documented_role_names_the_right_that_is_taken_from_it(
    as_user: As, sie: Sie, user: str, tmp_path: Path
) -> None:
    events, rows = tmp_path / "events.jsonl", tmp_path / "rows.parquet"
    events.write_text(json.dumps(event(1, "view", 1)) + "\n")
    pq.write_table(contracts.WEIGHTS.empty_table(), rows)

    def complaint(name: str) -> str:
        return sie(user, *(word.format(events=events, rows=rows) for word in COMMANDS[user, name]))[1]

    for acl in rights_of(user):
        until(partial(complaint, acl.name), "all rights", holds=lambda said: "lacks" not in said)
        asyncio.run(revoke(as_user(ADMIN), [acl]))
        told = until(partial(complaint, acl.name), f"word that {acl} is missing", holds=lambda said: "lacks" in said)
        asyncio.run(grant(as_user(ADMIN), [acl]))
        name = re.escape(acl.name) + (r"\S+" if acl.pattern == "prefixed" else "")
        needed = rf"[A-Za-z, ]*\b{acl.operation}\b[A-Za-z, ]*"
        assert re.search(rf"principal User:{user} lacks {needed} on topic {name}:", told)


@pytest.mark.kafka
def test_making_and_growing_topics_takes_the_documented_rights_and_names_each_that_is_missing(
    as_user: As, sie: Sie
) -> None:
    prefixes = (f"sie.new-{n}." for n in itertools.count())

    def create(prefix: str) -> str:
        return sie("sie-topics", "topics", "create", prefix=prefix, events=f"{prefix}events")[1]

    def refused_without(operation: str, attempt: Callable[[], str]) -> None:
        acls = [acl for acl in rights_of("sie-topics") if acl.operation == operation]
        named = re.compile(rf"lacks .*{operation}\b")
        asyncio.run(revoke(as_user(ADMIN), acls))
        until(attempt, f"word of {operation}", holds=lambda said: bool(named.search(said)))
        asyncio.run(grant(as_user(ADMIN), acls))

    refused_without("DescribeConfigs", lambda: sie("sie-topics", "topics", "check")[1])
    refused_without("Create", lambda: create(next(prefixes)))
    until(lambda: create("sie.grown."), "topics", holds=lambda said: "lacks" not in said)
    partitions = (asyncio.run(_set_partitions(as_user(ADMIN), "sie.grown.events", n)) for n in itertools.count(3))
    refused_without("Alter", lambda: create(next(partitions) or "sie.grown."))
    until(lambda: create("sie.grown."), "topics", holds=lambda said: "lacks" not in said)


async def _set_partitions(settings: Settings, topic: str, n: int) -> None:
    async with administrator(settings) as admin:
        await admin.create_partitions({topic: NewPartitions(n)})


@pytest.mark.kafka
def test_whoever_may_do_nothing_is_told_everything_at_once(as_user: As, tmp_path: Path) -> None:
    settings = as_user(NOBODY)
    with worker_pool(settings, tmp_path, SIE_WORKER) as start:
        worker = start()
        assert worker.exit_code(120) == 2
        told = set(re.findall(r"lacks [A-Za-z, ]+ on (\w+ \S+): run kafka-acls.sh", worker.text()))
        assert told == {f"topic {name}" for name in access.worker(settings).topics} | {"group sie"}
    with pytest.raises(
        AccessError, match=r"(?s)sie\.events.*sie\.models.*sie\.samples.*transactional-id sie-models-net"
    ):
        asyncio.run(check_topics(settings, access.trainer(settings)))
    with pytest.raises(AccessError, match=r"(?s)Describe and DescribeConfigs on topic sie\.events.*dead-letters"):
        asyncio.run(find_topics(settings))
    with pytest.raises(AccessError, match=r"lacks Read on topic sie\.weights\.v1"):
        asyncio.run(read(settings, settings.topics.weights))
    with pytest.raises(AccessError, match=r"lacks Write on topic sie\.events"):
        asyncio.run(write(settings, 0, 1))
    with pytest.raises(AccessError, match="on transactional-id sie-models-net"):
        asyncio.run(roll_back(settings))
