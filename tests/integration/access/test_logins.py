"""Ways in: by certificate, by token and by password; whoever is not let in is told why."""

from __future__ import annotations

import asyncio
import gc
import re
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sie_online.client.reader import TopicReader
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import AccessError, SettingsError
from sie_online.settings import Settings, load
from streams import access
from streams.brokers import count_brokers
from streams.model_registry.announcer import Announcer
from streams.store import open_store
from streams.tools.writer import open_writer
from streams.topics import check_topics
from tests.support import topic_io
from tests.support.access import As, deployment, put, read, write
from tests.support.secure_kafka import ADMIN, SecureKafka
from tests.support.tokens import new_issuer, token_endpoint
from tests.support.workers import SIE_WORKER, WorkerProcess, wait_until_read, worker_pool

TOKEN_USERS = ("sie-worker", "sie-trainer", "sie-reader", "sie-replay")
PORTIONS, PAUSE_S = 8, 0.8


@pytest.mark.kafka
def test_a_certificate_lets_in_whom_it_is_for(secure: SecureKafka) -> None:
    def by_certificate(user: str) -> Settings:
        return load(deployment(secure) | secure.by_certificate(user))

    for role in (access.worker, access.trainer):
        settings = by_certificate(f"sie-{role.__name__}")
        asyncio.run(check_topics(settings, role(settings)))
    asyncio.run(write(by_certificate("sie-replay"), 1_000, 10))
    reader = by_certificate("sie-reader")
    asyncio.run(read(reader, reader.topics.weights))
    with pytest.raises(AccessError, match="User:<name of the client certificate> lacks Write on topic sie"):
        asyncio.run(write(reader, 0, 1))


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
        settings = load(deployment(secure) | given)
        with pytest.raises(SettingsError, match=why):
            asyncio.run(count_brokers(settings))
        with pytest.raises(SettingsError, match=why):
            asyncio.run(read(settings, settings.topics.weights))
    gc.collect()


@pytest.mark.kafka
def test_a_token_from_a_command_is_another_way_in(secure: SecureKafka) -> None:
    token = secure.by_token(oauth_token_command=secure.issuer.command("sie-reader", 60))
    reader = load(deployment(secure) | token)
    asyncio.run(read(reader, reader.topics.weights))
    with pytest.raises(AccessError, match=r"principal User:sie-reader lacks Write on topic sie\.events"):
        asyncio.run(write(reader, 0, 1))


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
            return load(deployment(secure) | secure.by_token(**asking))

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
            asyncio.run(write(as_user("sie-replay"), 3_000, 50))
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
                await put(writer, 2_000 + 50 * portion, 50)
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
