"""Tokens: got, shared, renewed in time, and said in a sentence where there are none."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from sie_online.client import tokens
from sie_online.client.access import principal_of
from sie_online.client.availability import Availability
from sie_online.client.connection import connection
from sie_online.client.tokens import NoTokenError, Token, TokenProvider, from_command, from_endpoint, parsed
from sie_online.errors import SettingsError, SieError, UnreachableError
from tests.support.tokens import Endpoint, Issuer, new_issuer, token_endpoint
from tests.support.waiting import until

SettingsFactory = Callable[..., Any]
SECRET = "s3cr&t: ü"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return new_issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture
def endpoint(issuer: Issuer) -> Iterator[Endpoint]:
    with token_endpoint(issuer, {"sie worker": SECRET}) as running:
        yield running


@pytest.fixture
def by_url(settings: SettingsFactory, endpoint: Endpoint, tmp_path: Path) -> SettingsFactory:
    """Settings that ask the endpoint."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    asking = {"oauth_token_url": endpoint.url, "oauth_client_id": "sie worker"}
    asking |= {"oauth_client_secret_file": tmp_path / "secret"}
    return lambda **other: settings(kafka=OAUTHBEARER | asking | other)


OAUTHBEARER = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}


def by_command(settings: SettingsFactory, command: str) -> Any:
    return settings(kafka=OAUTHBEARER | {"oauth_token_command": command})


class Source:
    """Gives tokens of 100 s, or fails; the time is its own."""

    def __init__(self) -> None:
        self.now, self.asked = 1_000.0, 0
        self.failure: SieError | None = None

    def __call__(self) -> Token:
        self.asked += 1
        if self.failure:
            raise self.failure
        return Token(f"t{self.asked}", self.now + 100, self.now + 80)

    def provider(self) -> TokenProvider:
        return TokenProvider(self, {}, lambda: self.now)


def test_every_client_of_an_identity_gets_the_same_provider_and_no_password(settings: SettingsFactory) -> None:
    made = connection(by_command(settings, "echo one"))
    assert made["sasl_mechanism"] == "OAUTHBEARER"
    assert not {"sasl_plain_username", "sasl_plain_password"} & made.keys()
    again = connection(by_command(settings, "echo one"))["sasl_oauth_token_provider"]
    assert again is made["sasl_oauth_token_provider"]
    assert connection(by_command(settings, "echo other"))["sasl_oauth_token_provider"] is not again


def test_a_token_is_asked_for_once_and_again_when_most_of_its_life_is_over() -> None:
    source = Source()
    provider = source.provider()
    assert [asyncio.run(provider.token()) for _ in range(3)] == ["t1"] * 3
    source.now += 79
    assert asyncio.run(provider.token()) == "t1"
    source.now += 1
    assert asyncio.run(provider.token()) == "t2"
    assert source.asked == 2


def test_loops_of_several_threads_that_ask_at_once_cause_one_fetch() -> None:
    source = Source()
    provider, begin, got = source.provider(), threading.Barrier(8), []

    def ask() -> None:
        begin.wait()
        got.append(asyncio.run(provider.token()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (got, source.asked) == (["t1"] * 8, 1)


def test_an_endpoint_that_goes_away_does_no_harm_until_the_token_expires_and_then_is_an_outage() -> None:
    source = Source()
    provider = source.provider()
    asyncio.run(provider.token())
    source.failure = UnreachableError("away")
    source.now += 90
    assert asyncio.run(provider.token()) == "t1"
    assert provider.problem == "away"
    source.now += 10
    with pytest.raises(NoTokenError, match="away"):
        asyncio.run(provider.token())
    source.failure = None
    source.now += tokens.RETRY_S
    assert asyncio.run(provider.token()).startswith("t")
    assert provider.problem == ""


def test_while_there_is_no_token_the_endpoint_is_asked_every_few_seconds_only() -> None:
    source = Source()
    provider = source.provider()
    source.failure = SettingsError("refused")
    for _ in range(5):
        with pytest.raises(SettingsError, match="refused"):
            asyncio.run(provider.token())
    assert source.asked == 1


def test_an_outage_for_want_of_a_token_says_so(settings: SettingsFactory) -> None:
    made = by_command(settings, "sh -c 'echo denied >&2; exit 4'")
    with pytest.raises(SettingsError):
        asyncio.run(connection(made)["sasl_oauth_token_provider"].token())
    now = [0.0]
    availability = Availability(made, clock=lambda: now[0])
    now[0] = 60.0
    availability.failed(TimeoutError())
    assert availability.reason.endswith("kafka.oauth_token_command: sh ended with 4: denied")


def test_the_principal_is_the_subject_of_the_token(settings: SettingsFactory, issuer: Issuer) -> None:
    made = by_command(settings, f"echo {issuer.token('sie-someone')}")
    assert principal_of(made) == "User:<subject of the token>"
    asyncio.run(connection(made)["sasl_oauth_token_provider"].token())
    assert principal_of(made) == "User:sie-someone"


# -- what is answered


def test_the_end_of_a_token_is_what_the_answer_says_or_else_the_token_itself(issuer: Issuer) -> None:
    now = time.time()
    told = parsed(json.dumps({"access_token": "abc", "expires_in": "50"}).encode(), "it", now)
    assert (told.text, told.expires_at, told.renew_at) == ("abc", now + 50, now + 40)
    jwt = parsed(f" {issuer.token('sie', life_s=50)}\n".encode(), "it", now)
    assert jwt.expires_at == pytest.approx(now + 50, abs=1)
    assert parsed(b"opaque", "it", now).expires_at == now + tokens.ASSUMED_S


@pytest.mark.parametrize(
    "answer", [b"", b"two words", b"<html>", b"{", b"{}", b'{"access_token": ["a"]}', b"a\x01b", b"\xff"]
)
def test_what_is_no_token_is_refused_without_repeating_it(answer: bytes) -> None:
    with pytest.raises(SettingsError) as refused:
        parsed(answer, "it prints", 0)
    assert str(refused.value) == "it prints no token: neither one alone, nor JSON with access_token"


def test_a_token_that_has_expired_already_points_at_the_clock(issuer: Issuer) -> None:
    with pytest.raises(SettingsError, match="expired 60 s ago: is this machine's clock right"):
        parsed(issuer.token("sie", life_s=0).encode(), "it gives", time.time() + 60)


def test_a_token_is_never_shown() -> None:
    assert "abc" not in repr(parsed(b"abc", "it", 0))


# -- the command


def test_a_command_is_run_without_a_shell(settings: SettingsFactory) -> None:
    kafka = by_command(settings, "printf '%s' 'a$HOME;b'").kafka
    with pytest.raises(SettingsError, match="printf prints no token"):
        from_command(kafka)
    assert from_command(by_command(settings, "printf %s a.b").kafka).text == "a.b"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/no/such/command --token", "/no/such/command cannot be run: No such file or directory"),
        ("sh -c 'echo one >&2; echo expired login >&2; exit 3'", "sh ended with 3: expired login"),
        ("false", "false ended with 1: it said nothing"),
    ],
)
def test_a_command_that_fails_is_said_with_its_last_word(settings: SettingsFactory, command: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        from_command(by_command(settings, command).kafka)
    assert str(refused.value) == f"kafka.oauth_token_command: {said}"


def test_a_command_that_hangs_is_ended_with_its_children(
    settings: SettingsFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "ANSWER_S", 0.3)
    child = tmp_path / "child"
    with pytest.raises(UnreachableError, match=r"sh did not end within 0\.3 s"):
        from_command(by_command(settings, f"sh -c 'sleep 60 & echo $! > {child}; wait'").kafka)
    number = int(child.read_text())
    until(lambda: _is_dead(number), "end of the child")


def _is_dead(number: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(number).status() == psutil.STATUS_ZOMBIE)
    return True


# -- the endpoint


def test_an_endpoint_grants_a_token_for_client_id_secret_and_scope(by_url: SettingsFactory, endpoint: Endpoint) -> None:
    token = from_endpoint(by_url(oauth_scope="kafka write").kafka)
    assert token.subject == "sie worker"
    assert token.expires_at == pytest.approx(time.time() + 60, abs=5)
    grant = {"grant_type": "client_credentials", "scope": "kafka write"}
    assert endpoint.asked == [{"client": "sie worker", "secret": SECRET} | grant]


def test_refused_credentials_are_an_operators_and_are_not_repeated(by_url: SettingsFactory, endpoint: Endpoint) -> None:
    with pytest.raises(SettingsError) as refused:
        from_endpoint(by_url(oauth_client_id="stranger").kafka)
    said = f"kafka.oauth_token_url: {endpoint.url} gives client stranger no token: 401 invalid_client: unknown; check "
    assert str(refused.value) == f"{said}kafka.oauth_client_id, kafka.oauth_client_secret_file and kafka.oauth_scope"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_endpoint_in_trouble_is_waited_for(by_url: SettingsFactory, endpoint: Endpoint, status: int) -> None:
    endpoint.status = status
    with pytest.raises(UnreachableError, match=f"answers {status}"):
        from_endpoint(by_url().kafka)


def test_the_secret_is_not_carried_to_another_place(by_url: SettingsFactory, endpoint: Endpoint) -> None:
    endpoint.status, endpoint.headers = 307, {"Location": endpoint.url}
    with pytest.raises(SettingsError, match="307 Temporary Redirect"):
        from_endpoint(by_url().kafka)
    assert len(endpoint.asked) == 1


def test_a_page_is_no_token(by_url: SettingsFactory, endpoint: Endpoint) -> None:
    endpoint.body = b"<html>Welcome"
    with pytest.raises(SettingsError, match="answers with no token"):
        from_endpoint(by_url().kafka)


def test_an_endpoint_that_is_not_there_is_away(settings: SettingsFactory, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    asking = {"oauth_token_url": "http://127.0.0.1:1/t", "oauth_client_id": "sie"}
    made = settings(kafka=OAUTHBEARER | asking | {"oauth_client_secret_file": tmp_path / "secret"})
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:1/t does not answer: Connection refused"):
        from_endpoint(made.kafka)


def _greet(server: socket.socket) -> None:
    """As a mail server does, whatever it is asked."""
    with server.accept()[0] as opened:
        opened.recv(1 << 16)
        opened.sendall(b"220 mail\r\n\r\n")


def test_what_speaks_no_http_is_away(settings: SettingsFactory, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_greet, args=(server,), daemon=True).start()
        asking = {"oauth_token_url": f"http://127.0.0.1:{server.getsockname()[1]}/t", "oauth_client_id": "sie"}
        made = settings(kafka=OAUTHBEARER | asking | {"oauth_client_secret_file": tmp_path / "secret"})
        with pytest.raises(UnreachableError, match="answers with no HTTP"):
            from_endpoint(made.kafka)


def test_a_missing_secret_file_is_named(by_url: SettingsFactory) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.oauth_client_secret_file: cannot read /no/such"):
        from_endpoint(by_url(oauth_client_secret_file="/no/such").kafka)


# -- the settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "needs either oauth_token_command or oauth_token_url"),
        ({"oauth_token_command": "a", "oauth_token_url": "https://b"}, "either oauth_token_command or oauth_token_url"),
        ({"oauth_token_url": "https://b"}, "needs oauth_client_id and oauth_client_secret_file"),
        ({"oauth_token_url": "http://idp.example/t"}, "cannot be asked for a token: write https"),
        ({"oauth_token_url": "file:///etc/passwd"}, "cannot be asked for a token: write https"),
        ({"oauth_token_url": "https://me:secret@idp/t"}, "cannot be asked for a token: write https"),
        ({"oauth_token_command": "'a"}, "is no command: No closing quotation"),
        ({"oauth_token_command": "a", "oauth_extensions": {"auth": "x"}}, "'auth' is no SASL extension"),
        ({"oauth_token_command": "a", "oauth_extensions": {"a": "x\x01"}}, "'a' is no SASL extension"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "u", "oauth_token_command": "a"}, "need sasl_mechanism = OAUTHB"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    settings: SettingsFactory, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        settings(kafka=OAUTHBEARER | given)
    assert "secret@" not in str(refused.value)


def test_extensions_come_from_one_variable(settings: SettingsFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIE_KAFKA__OAUTH_EXTENSIONS", '{"logicalCluster": "lkc-1"}')
    provider = connection(by_command(settings, "echo a"))["sasl_oauth_token_provider"]
    assert provider.extensions() == {"logicalCluster": "lkc-1"}


def test_nothing_secret_is_logged(
    by_url: SettingsFactory, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    made = by_url()
    provider = connection(made)["sasl_oauth_token_provider"]
    token = asyncio.run(provider.token())
    shown = "".join((caplog.text, *capsys.readouterr(), repr(made), repr(vars(provider)), made.model_dump_json()))
    assert token not in shown
    assert SECRET not in shown
