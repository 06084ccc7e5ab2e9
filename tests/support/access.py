"""A deployment at brokers that ask for a login and for rights, and what its people and services do there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sie_online.client.reader import TopicReader
from sie_online.contracts import BUILTIN_MODEL
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings, load
from streams.model_registry.announcer import Announcer
from streams.store import open_store
from streams.tools.writer import EventWriter, open_writer
from tests.support.acls import Acl, administrator, change, documented
from tests.support.events import event
from tests.support.secure_kafka import SecureKafka

As = Callable[[str], Settings]
"""Settings of the deployment under a user's login."""
Sie = Callable[..., tuple[int, str]]
"""Runs ``sie …`` under a user's login; its exit code and complaints."""

NOBODY = "sie-nobody"
USERS = sorted({acl.principal.removeprefix("User:") for acl in documented()} | {NOBODY})


def deployment(secure: SecureKafka) -> dict[str, Any]:
    """Its settings but for who we are; the store is kept as long as the broker's topics."""
    store = secure.certificate.parent / "store"
    base: dict[str, Any] = {"broker": secure.broker.address, "store": store.as_uri(), "web": {"port": 0}}
    base |= {"checkpoint": {"interval_s": 0.5}, "topics": {"partitions": 2}, "trainer": {"ahead_s": 1}}
    base |= {"recommend": {"enabled": True, "publish": True}}
    return base


def by_password(secure: SecureKafka) -> As:
    """Logins by password."""
    base = deployment(secure)
    return lambda user: load(base | {"kafka": secure.login(user)})


def rights_of(user: str) -> list[Acl]:
    """What the page lists for them."""
    return [acl for acl in documented() if acl.principal == f"User:{user}"]


async def grant(settings: Settings, acls: list[Acl]) -> None:
    """Give rights, as an administrator's ``settings`` may."""
    async with administrator(settings) as admin:
        await change(admin, grant=acls)


async def revoke(settings: Settings, acls: list[Acl]) -> None:
    """Take them away."""
    async with administrator(settings) as admin:
        await change(admin, revoke=acls)


async def read(settings: Settings, topic: str) -> int:
    """Read what a topic has; the number of records."""
    async with TopicReader(settings, topic) as reader:
        found = 0
        while records := await reader.read_on(1):
            found += len(records)
        return found


async def write(settings: Settings, first: int, n: int) -> None:
    """Write ``n`` events, from number ``first`` on."""
    async with open_writer(settings) as writer:
        await put(writer, first, n)


async def put(writer: EventWriter, first: int, n: int) -> None:
    """The same through an open writer; they are delivered then."""
    rows = [event(i, "view", i, user=f"u{i}") for i in range(first, first + n)]
    await writer.write([WireRecord(one["user_id"].encode(), json.dumps(one).encode(), None) for one in rows])
    await writer.delivered()


async def roll_back(settings: Settings) -> None:
    """Announce, as a trainer does, what every shard then adopts late and says so."""
    announcer = Announcer(settings, open_store(settings.store), "the trainer")
    await announcer.start()
    try:
        await announcer.rollback(BUILTIN_MODEL, now=True)
    finally:
        await announcer.stop()
