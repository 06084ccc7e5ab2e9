"""Tokens for SASL/OAUTHBEARER: got from a command or a token endpoint, shared by all connections, renewed in time.

aiokafka asks for a token whenever it connects, and a broker ends a connection when the token it began with expires
(``connections.max.reauth.ms``). So a token is renewed by whoever connects next once most of its life is over; until it
expires, an endpoint that is away does no harm. Without a token there is no connection: from then on that is an outage
as any other (``availability``).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import http.client
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import aiokafka.conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import OAuthAuthenticator
from aiokafka.errors import KafkaConnectionError

from sie_online.client.files import certificates, secret
from sie_online.errors import SettingsError, SieError, UnreachableError
from sie_online.settings import Kafka

ANSWER_S = 10.0
"""Longest wait for a command or an endpoint."""
RETRY_S = 5.0
"""Between two tries while no token is to be had, however many connections ask."""
RENEWED_AFTER = 0.8
"""Share of its life after which a token is renewed: ``sasl.login.refresh.window.factor`` of Kafka's own clients."""
ASSUMED_S = 60.0
"""Life of a token that says nothing of its end."""
LARGEST_BYTES = 64 << 10
"""Of an answer; brokers refuse longer tokens by far."""

BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What a token may consist of (RFC 6750, section 2.1)."""
OAUTH_ERROR = re.compile(r"[\x20-\x7e]{1,200}")

Clock = Callable[[], float]


class NoTokenError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka is not typed
    """The token has expired and there is no other: aiokafka takes it for a connection that failed, and tries again."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token. ``expires_at`` and ``renew_at`` are Unix seconds, ``subject`` its claim ``sub``, where it has one."""

    text: str = field(repr=False)
    expires_at: float
    renew_at: float
    subject: str = ""


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """The tokens of one identity, for every connection of this process, whatever its thread and event loop.

    ``problem``: why the last try brought no token; empty where it brought one.
    """

    def __init__(self, fetch: Callable[[], Token], extensions: Mapping[str, str], clock: Clock = time.time) -> None:
        self._fetch = fetch
        self._extensions = dict(extensions)
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._wrong: type[SieError] = SettingsError
        self._ask_at = 0.0
        self.problem = ""

    @property
    def subject(self) -> str:
        """Whom the newest token is for, as far as it says so."""
        return self._token.subject if self._token else ""

    async def token(self) -> str:
        """A token that has not expired; called by aiokafka for each connection.

        Raises:
            SieError: there never was one: ``SettingsError`` where command, endpoint or credentials are wrong,
                ``UnreachableError`` where the endpoint is away.
            NoTokenError: there was one.
        """
        token = self._token
        if token is None or self._clock() >= token.renew_at:
            token = await asyncio.to_thread(self._renewed)
        return token.text

    def extensions(self) -> dict[str, str]:
        """SASL extensions; called by aiokafka."""
        return self._extensions

    def _renewed(self) -> Token:
        with self._lock:
            if self._clock() >= self._ask_at:
                self._ask()
            if self._token is None:
                raise self._wrong(self.problem)
            if self._clock() >= self._token.expires_at:
                raise NoTokenError(self.problem)
            return self._token

    def _ask(self) -> None:
        try:
            self._token = self._fetch()
        except SieError as error:
            self.problem, self._wrong, self._ask_at = str(error), type(error), self._clock() + RETRY_S
        else:
            self.problem, self._ask_at = "", self._token.renew_at


_providers: dict[str, TokenProvider] = {}
_providers_lock = threading.Lock()


class _Authenticator(OAuthAuthenticator):  # type: ignore[misc]
    """aiokafka's, but for a refusal, which it (0.14) takes for a welcome: the broker says why in its first answer, and
    counts the login as failed once that is answered (RFC 7628, section 3.2.3).
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        """What to send after ``payload``, the broker's answer; None where we are let in."""
        if payload:
            return b"\x01", True
        following: tuple[bytes, bool] | None = await super().step(payload)
        return following


aiokafka.conn.OAuthAuthenticator = _Authenticator


def token_provider(kafka: Kafka) -> TokenProvider | None:
    """The provider of everybody who connects under these settings; None where they want no tokens."""
    if not kafka.wants_tokens:
        return None
    identity = kafka.model_dump_json(include={name for name in Kafka.model_fields if name.startswith("oauth_")})
    with _providers_lock:
        if identity not in _providers:
            fetch = from_command if kafka.oauth_token_command else from_endpoint
            _providers[identity] = TokenProvider(partial(fetch, kafka), kafka.oauth_extensions)
        return _providers[identity]


def from_command(kafka: Kafka) -> Token:
    """What ``kafka.oauth_token_command`` prints.

    Raises:
        SettingsError: it cannot be run, fails or prints no token. UnreachableError: it takes too long.
    """
    named = f"kafka.oauth_token_command: {shlex.split(kafka.oauth_token_command)[0]}"
    printed = _output(kafka.oauth_token_command, named)
    return parsed(printed, f"{named} prints", time.time())


def _output(command: str, named: str) -> bytes:
    """What ``command`` prints. It and its children are ended after ``ANSWER_S``."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, and no shell
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise SettingsError(f"{named} cannot be run: {error.strerror}") from None
    with process:
        try:
            printed, said = process.communicate(timeout=ANSWER_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise UnreachableError(f"{named} did not end within {ANSWER_S:g} s") from None
    if process.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2][:200]
        raise SettingsError(f"{named} ended with {process.returncode}: {last or 'it said nothing'}")
    return printed


def from_endpoint(kafka: Kafka) -> Token:
    """What ``kafka.oauth_token_url`` grants for client id and secret (RFC 6749, section 4.4).

    Raises:
        SettingsError: it refuses them, or is no token endpoint; a file cannot be read. UnreachableError: it is away.
    """
    named = f"kafka.oauth_token_url: {kafka.oauth_token_url}"
    began = time.time()
    try:
        with _opener(kafka).open(_request(kafka), timeout=ANSWER_S) as answer:
            body = answer.read(LARGEST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            _raise_refused(error, named, kafka.oauth_client_id)
    except OSError as error:  # URLError and ssl.SSLError among them
        _raise_away(error, named)
    except http.client.HTTPException as error:
        raise UnreachableError(f"{named} answers with no HTTP: {error!r}") from None
    return parsed(body, f"{named} answers with", began)


def _request(kafka: Kafka) -> urllib.request.Request:
    name, password = kafka.oauth_client_id, secret("oauth_client_secret_file", kafka.oauth_client_secret_file)
    login = base64.b64encode(f"{quote(name, safe='')}:{quote(password, safe='')}".encode()).decode()
    form = {"grant_type": "client_credentials"} | ({"scope": kafka.oauth_scope} if kafka.oauth_scope else {})
    headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}
    return urllib.request.Request(kafka.oauth_token_url, urlencode(form).encode(), headers)  # noqa: S310 - see settings


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The client secret goes where the settings say, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener(kafka: Kafka) -> urllib.request.OpenerDirector:
    context = certificates("oauth_ca_file", kafka.oauth_ca_file)
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirects)


def _raise_refused(error: urllib.error.HTTPError, named: str, client: str) -> NoReturn:
    """``error`` of the endpoint as ours: its own fault, or what it was asked."""
    if error.code >= 500 or error.code == 429:
        raise UnreachableError(f"{named} answers {error.code} {error.reason}") from None
    try:
        document = json.loads(error.read(LARGEST_BYTES))
        said = [str(document[name]) for name in ("error", "error_description") if document.get(name)]
    except (ValueError, TypeError, AttributeError, OSError):
        said = []
    words = ": ".join(text for text in said if OAUTH_ERROR.fullmatch(text))
    raise SettingsError(
        f"{named} gives client {client} no token: {error.code} {words or error.reason}; check "
        "kafka.oauth_client_id, kafka.oauth_client_secret_file and kafka.oauth_scope"
    ) from None


def _raise_away(error: OSError, named: str) -> NoReturn:
    cause: Any = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        message = f"{named} shows a certificate that is not trusted ({cause.verify_message}): set kafka.oauth_ca_file"
        raise SettingsError(message) from None
    words = f"no answer within {ANSWER_S:g} s" if isinstance(cause, TimeoutError) else cause
    raise UnreachableError(f"{named} does not answer: {getattr(words, 'strerror', None) or words}") from None


def parsed(answer: bytes, named: str, now: float) -> Token:
    """The token in ``answer``, got at ``now``: bare, or JSON with ``access_token`` and ``expires_in`` (seconds).

    Raises:
        SettingsError: there is none, or it has expired; ``named`` begins the sentence.
    """
    document: Any = {"access_token": answer.decode(errors="replace").strip()}
    if document["access_token"].startswith("{"):
        with suppress(ValueError):
            document = json.loads(answer)
    text = document.get("access_token")
    if not (isinstance(text, str) and BEARER.fullmatch(text)):
        raise SettingsError(f"{named} no token: neither one alone, nor JSON with access_token")
    claims = _claims(text)
    life_s = _number(document.get("expires_in"))
    if life_s is None and (end := _number(claims.get("exp"))) is not None:
        life_s = end - now
    if life_s is not None and life_s <= 0:
        raise SettingsError(f"{named} a token that has expired {-life_s:.0f} s ago: is this machine's clock right?")
    life_s = ASSUMED_S if life_s is None else life_s
    return Token(text, now + life_s, now + RENEWED_AFTER * life_s, str(claims.get("sub") or ""))


def _claims(token: str) -> Mapping[str, Any]:
    """What a JWT says, unverified; nothing of any other token."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
