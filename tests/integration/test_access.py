"""Logins and rights at the brokers, on Apache Kafka with TLS and ACLs: by password, token and certificate; what the
page lists suffices, and what is missing is named before anything depends on it.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiokafka.admin import NewPartitions
from aiokafka.errors import GroupAuthorizationFailedError

from sie_online import contracts
from sie_online.client.access import Needs, missing
from sie_online.client.consumer import PatientConsumer
from sie_online.client.reader import TopicReader
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import AccessError, SettingsError
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings, load
from streams import access
from streams.brokers import count_brokers
from streams.cli.root import run
from streams.model_registry import event_log
from streams.model_registry.announcer import Announcer
from streams.model_registry.reader import RegistryReader
from streams.store import open_store
from streams.tools.writer import EventWriter, open_writer
from streams.topics import check_topics, create_topics, find_topics
from tests.support import topic_io
from tests.support.acls import Acl, administrator, change, documented
from tests.support.brokers import Broker
from tests.support.environment import as_environment
from tests.support.events import event
from tests.support.secure_kafka import ADMIN, SecureKafka, secure_kafka
from tests.support.tokens import new_issuer, token_endpoint
from tests.support.waiting import awaited, until
from tests.support.workers import SIE_WORKER, WorkerProcess, wait_until_read, worker_pool

As = Callable[[str], Settings]
Sie = Callable[..., tuple[int, str]]

NOBODY = "sie-nobody"
TOKEN_USERS = ("sie-worker", "sie-trainer", "sie-reader", "sie-replay")
PORTIONS, PAUSE_S = 8, 0.8
USERS = sorted({acl.principal.removeprefix("User:") for acl in documented()} | {NOBODY})


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """The broker, with the documented rights and the topics that ``sie-topics`` has made with them."""
    with secure_kafka(tmp_path_factory.mktemp("secure"), USERS) as running:
        made = _as(running)
        asyncio.run(_grant(made(ADMIN), documented()))
        asyncio.run(create_topics(made("sie-topics")))
        yield running


async def _grant(settings: Settings, acls: list[Acl]) -> None:
    async with administrator(settings) as admin:
        await change(admin, grant=acls)


def _base(secure: SecureKafka) -> dict[str, Any]:
    """The deployment's settings but for who we are; the store is kept as long as the broker's topics."""
    store = secure.certificate.parent / "store"
    base: dict[str, Any] = {"broker": secure.broker.address, "store": store.as_uri(), "web": {"port": 0}}
    base |= {"checkpoint": {"interval_s": 0.5}, "topics": {"partitions": 2}, "trainer": {"ahead_s": 1}}
    base |= {"recommend": {"enabled": True, "publish": True}}
    return base


def _as(secure: SecureKafka) -> As:
    base = _base(secure)
    return lambda user: load(base | {"kafka": secure.login(user)})


@pytest.fixture
def as_user(secure: SecureKafka) -> As:
    """Settings of the deployment under a user's login."""
    return _as(secure)


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
    rights = _rights_of(user)

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


def _rights_of(user: str) -> list[Acl]:
    return [acl for acl in documented() if acl.principal == f"User:{user}"]


@pytest.fixture
def sie(secure: SecureKafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sie:
    """Runs ``sie …`` in this process under a user's login; its exit code and complaints."""
    base = _base(secure)

    def call(user: str, *arguments: str, **topics: Any) -> tuple[int, str]:
        made = load(base | {"kafka": secure.login(user), "topics": base["topics"] | topics})
        for name, value in as_environment(made).items():
            monkeypatch.setenv(name, value)
        code = run(arguments)
        return code, capsys.readouterr().err

    return call


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

    for acl in _rights_of(user):
        until(partial(complaint, acl.name), "all rights", holds=lambda said: "lacks" not in said)
        asyncio.run(_revoke(as_user(ADMIN), [acl]))
        told = until(partial(complaint, acl.name), f"word that {acl} is missing", holds=lambda said: "lacks" in said)
        asyncio.run(_grant(as_user(ADMIN), [acl]))
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
        acls = [acl for acl in _rights_of("sie-topics") if acl.operation == operation]
        named = re.compile(rf"lacks .*{operation}\b")
        asyncio.run(_revoke(as_user(ADMIN), acls))
        until(attempt, f"word of {operation}", holds=lambda said: bool(named.search(said)))
        asyncio.run(_grant(as_user(ADMIN), acls))

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
def test_another_systems_group_reads_and_commits_with_a_sinks_rights(as_user: As) -> None:
    settings = as_user("sie-sink")
    topics = settings.topics

    async def read() -> None:
        consumer = PatientConsumer(settings, topics.weights, topics.samples, group_id="connect-sie")
        await consumer.start()
        try:
            await awaited(consumer.assignment, "partitions", holds=lambda assigned: len(assigned) == 4)
            await consumer.getmany(timeout_ms=200)
            await consumer.commit()
        finally:
            await consumer.stop()

    asyncio.run(read())


@pytest.mark.kafka
def test_a_lag_exporter_learns_ends_and_commits_with_its_rights_and_not_without(as_user: As) -> None:
    exporter, nobody = as_user("sie-lag"), as_user(NOBODY)
    assert set(topic_io.ends(exporter, exporter.topics.events)) == {0, 1}
    assert isinstance(topic_io.committed(exporter), dict)
    with pytest.raises(GroupAuthorizationFailedError):
        topic_io.committed(nobody)


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
        asyncio.run(_read(settings, settings.topics.weights))
    with pytest.raises(AccessError, match=r"lacks Write on topic sie\.events"):
        asyncio.run(_write(settings, 0, 1))
    with pytest.raises(AccessError, match="on transactional-id sie-models-net"):
        asyncio.run(_roll_back(settings))


async def _read(settings: Settings, topic: str) -> int:
    async with TopicReader(settings, topic) as reader:
        found = 0
        while records := await reader.read_on(1):
            found += len(records)
        return found


async def _write(settings: Settings, first: int, n: int) -> None:
    async with open_writer(settings) as writer:
        await _put(writer, first, n)


async def _put(writer: EventWriter, first: int, n: int) -> None:
    rows = [event(i, "view", i, user=f"u{i}") for i in range(first, first + n)]
    await writer.write([WireRecord(one["user_id"].encode(), json.dumps(one).encode(), None) for one in rows])
    await writer.delivered()


async def _roll_back(settings: Settings) -> None:
    """Announce, as a trainer does, what every shard then adopts late and says so."""
    announcer = Announcer(settings, open_store(settings.store), "the trainer")
    await announcer.start()
    try:
        await announcer.rollback(BUILTIN_MODEL, now=True)
    finally:
        await announcer.stop()


@pytest.mark.kafka
def test_the_documented_rights_suffice_and_one_taken_away_later_ends_the_worker_with_its_name(
    as_user: As, tmp_path: Path
) -> None:
    worker_s, trainer_s, audit_s, reader_s = map(as_user, ("sie-worker", "sie-trainer", "sie-audit", "sie-reader"))
    before = sum(topic_io.ends(as_user(ADMIN), worker_s.topics.events).values())
    asyncio.run(_write(as_user("sie-replay"), 0, 500))
    with worker_pool(worker_s, tmp_path, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(180)
        wait_until_read(as_user(ADMIN), worker)
        asyncio.run(check_topics(trainer_s, access.trainer(trainer_s)))
        asyncio.run(event_log.growth(trainer_s))
        asyncio.run(_read(trainer_s, trainer_s.topics.samples))
        asyncio.run(_roll_back(trainer_s))
        asyncio.run(_write(as_user("sie-replay"), 500, 100))
        worker.wait_for("model adopted late")
        wait_until_read(as_user(ADMIN), worker)
        topics = reader_s.topics
        for topic in (topics.weights, topics.samples, topics.entities, topics.recs, topics.dead_letters):
            asyncio.run(_read(reader_s, topic))
        assert asyncio.run(_read(audit_s, topics.events)) == before + 600
        assert asyncio.run(_announced(audit_s)) == 1
        assert topic_io.read_rows(as_user(ADMIN), topics.weights).num_rows >= 600

        lost = [acl for acl in documented() if (acl.principal, acl.name) == ("User:sie-worker", topics.weights)]
        asyncio.run(_revoke(as_user(ADMIN), lost))
        try:
            asyncio.run(_write(as_user("sie-replay"), 600, 100))
            assert worker.exit_code(60) == 2
        finally:
            asyncio.run(_grant(as_user(ADMIN), lost))
        assert f"principal User:sie-worker lacks Write on topic {topics.weights}" in worker.text()


async def _revoke(settings: Settings, acls: list[Acl]) -> None:
    async with administrator(settings) as admin:
        await change(admin, revoke=acls)


async def _announced(settings: Settings) -> int:
    reader = RegistryReader(settings)
    await reader.start()
    try:
        await reader.catch_up()
        return reader.registered_net.newest
    finally:
        await reader.stop()


# -- logging in


@pytest.mark.kafka
def test_a_certificate_lets_in_whom_it_is_for(secure: SecureKafka) -> None:
    def by_certificate(user: str) -> Settings:
        return load(_base(secure) | secure.by_certificate(user))

    for role in (access.worker, access.trainer):
        settings = by_certificate(f"sie-{role.__name__}")
        asyncio.run(check_topics(settings, role(settings)))
    asyncio.run(_write(by_certificate("sie-replay"), 1_000, 10))
    reader = by_certificate("sie-reader")
    asyncio.run(_read(reader, reader.topics.weights))
    with pytest.raises(AccessError, match="User:<name of the client certificate> lacks Write on topic sie"):
        asyncio.run(_write(reader, 0, 1))


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # aiokafka waits for no connection that it gives up to be closed
def test_whoever_is_not_let_in_is_told_why(secure: SecureKafka, tmp_path: Path) -> None:
    password, certificate = secure.login("sie-worker"), secure.by_certificate("sie-worker")
    ours = ("ssl_cert_file", "ssl_key_file")
    nameless = {name: value for name, value in certificate["kafka"].items() if name not in ours}
    forged = new_issuer(tmp_path / "forger").command("sie-worker", 60)
    refused: dict[str, dict[str, Any]] = {
        "refuses User:sie-worker by SCRAM-SHA-512: .*invalid credentials": {"kafka": password | {"sasl_password": "x"}},
        "does not take kafka.sasl_mechanism PLAIN": {"kafka": password | {"sasl_mechanism": "PLAIN"}},
        "certificate that is not trusted": {"kafka": password | {"ssl_ca_file": None}},
        "refuses our certificate": certificate | {"kafka": nameless},
        'refuses User:sie-worker by OAUTHBEARER: {"status":"invalid_token"}': secure.by_token(
            oauth_token_command=forged
        ),
        "oauth_token_command: false ended with 1": secure.by_token(oauth_token_command="false"),
    }
    for why, given in refused.items():
        settings = load(_base(secure) | given)
        with pytest.raises(SettingsError, match=why):
            asyncio.run(count_brokers(settings))
        with pytest.raises(SettingsError, match=why):
            asyncio.run(_read(settings, settings.topics.weights))
    gc.collect()


@pytest.mark.kafka
def test_a_token_from_a_command_is_another_way_in(secure: SecureKafka) -> None:
    token = secure.by_token(oauth_token_command=secure.issuer.command("sie-reader", 60))
    reader = load(_base(secure) | token)
    asyncio.run(_read(reader, reader.topics.weights))
    with pytest.raises(AccessError, match=r"principal User:sie-reader lacks Write on topic sie\.events"):
        asyncio.run(_write(reader, 0, 1))


@pytest.mark.kafka
def test_tokens_of_seconds_and_an_endpoint_that_goes_away_lose_and_double_nothing(
    secure: SecureKafka, as_user: As, tmp_path: Path
) -> None:
    """Tokens live for 6 s, and the broker ends every connection after ``SESSION_MS``."""
    admin, secret = as_user(ADMIN), tmp_path / "secret"
    secret.write_text("x")
    before = topic_io.ends(admin, admin.topics.events)
    with token_endpoint(secure.issuer, dict.fromkeys(TOKEN_USERS, "x"), life_s=6) as endpoint:

        def by_token(user: str) -> Settings:
            asking = {"oauth_token_url": endpoint.url, "oauth_client_id": user, "oauth_client_secret_file": secret}
            return load(_base(secure) | secure.by_token(**asking))

        with worker_pool(by_token("sie-worker"), tmp_path, SIE_WORKER) as start:
            worker = start()
            worker.wait_ready(180)
            asyncio.run(_go_on(by_token))
            wait_until_read(admin, worker)
            asked = Counter(each["client"] for each in endpoint.asked)
            endpoint.status = 503
            reason = f"kafka.oauth_token_url: {endpoint.url} answers 503"
            worker.wait_for(rf"has not answered since .*{re.escape(reason)}")
            assert reason in _readyz(worker)
            asyncio.run(_write(as_user("sie-replay"), 3_000, 50))
            endpoint.status = 200
            wait_until_read(admin, worker)
            assert worker.stop() == 0
    assert min(asked[user] for user in TOKEN_USERS) > 1  # more than the first of each had to be got
    rows = topic_io.read_rows(admin, admin.topics.weights).select(["partition", "offset", "revision"])
    after = topic_io.ends(admin, admin.topics.events)
    first = Counter(
        (row["partition"], row["offset"])
        for row in rows.to_pylist()
        if row["revision"] == 0 and row["offset"] >= before[row["partition"]]
    )
    expected = {(partition, offset) for partition, end in after.items() for offset in range(before[partition], end)}
    assert first == dict.fromkeys(expected, 1)
    assert len(expected) == 50 * (PORTIONS + 1)


async def _go_on(by_token: As) -> None:
    """Write for longer than a session and a token last, read along, and announce a model at the end."""
    settings = by_token("sie-trainer")
    announcer = Announcer(settings, open_store(settings.store), "the trainer")
    await announcer.start()
    async with TopicReader(by_token("sie-reader"), settings.topics.weights, "latest") as reader:
        began, seen = reader.positions, set()
        async with open_writer(by_token("sie-replay")) as writer:
            for portion in range(PORTIONS):
                await _put(writer, 2_000 + 50 * portion, 50)
                await asyncio.sleep(PAUSE_S)  # time that passes is the promise
                seen |= {(message.partition, message.offset) for message in await reader.poll(0)}
        ends = await reader.spans()
        while not reader.reached(ends):
            seen |= {(message.partition, message.offset) for message in await reader.poll(1)}
        assert seen >= {(number, at) for number, span in ends.items() for at in range(began[number], span.end)}
    await announcer.rollback(BUILTIN_MODEL, now=True)
    await announcer.stop()


def _readyz(worker: WorkerProcess) -> str:
    """What it says while it is not ready."""
    url = worker.wait_for(r"web site up url=(\S+)").group(1)
    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        urllib.request.urlopen(f"{url}/readyz", timeout=10)  # noqa: S310
    with refused.value as answer:
        return answer.read().decode()


@pytest.mark.embedded
def test_a_broker_that_tells_nothing_refuses_nothing(broker: Broker, settings: Callable[..., Settings]) -> None:
    made = settings(broker=broker.address)
    topic_io.make_topics(made)
    for role in (access.worker, access.trainer):
        assert asyncio.run(access.find_missing(made, role(made))) == []
