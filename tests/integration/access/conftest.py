"""The broker that asks for logins and rights, and who comes to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sie_online.settings import load
from streams.cli.root import run
from streams.topics import create_topics
from tests.support.access import USERS, As, Sie, by_password, deployment, grant
from tests.support.acls import documented
from tests.support.environment import as_environment
from tests.support.secure_kafka import ADMIN, SecureKafka, secure_kafka


@pytest.fixture(scope="package")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """The broker, with the documented rights and the topics that ``sie-topics`` has made with them."""
    with secure_kafka(tmp_path_factory.mktemp("secure"), USERS) as running:
        made = by_password(running)
        asyncio.run(grant(made(ADMIN), documented()))
        asyncio.run(create_topics(made("sie-topics")))
        yield running


@pytest.fixture
def as_user(secure: SecureKafka) -> As:
    """Settings of the deployment under a user's login."""
    return by_password(secure)


@pytest.fixture
def sie(secure: SecureKafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sie:
    """Runs ``sie …`` in this process under a user's login; its exit code and complaints."""
    base = deployment(secure)

    def call(user: str, *arguments: str, **topics: Any) -> tuple[int, str]:
        made = load(base | {"kafka": secure.login(user), "topics": base["topics"] | topics})
        for name, value in as_environment(made).items():
            monkeypatch.setenv(name, value)
        code = run(arguments)
        return code, capsys.readouterr().err

    return call
