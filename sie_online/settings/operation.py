"""How a worker is reached, runs and keeps its state: nothing here changes a published row."""

from __future__ import annotations

import shlex
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from sie_online.content import LAYOUTS, Layout
from sie_online.settings.section import OptionalFile, Section

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Kafka(Section):
    """How to reach and talk to the brokers; the subscriber client uses the first block too."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol spoken to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, where the protocol has SASL."
    )
    sasl_username: str = Field("", description="SASL user name.")
    sasl_password: SecretStr = Field(SecretStr(""), description="SASL password (never printed).")
    sasl_password_file: OptionalFile = Field(None, description="File that holds the SASL password instead.")
    oauth_token_command: str = Field(
        "",
        description="OAUTHBEARER: command (no shell) that prints a token, or JSON with access_token and expires_in; "
        "keep secrets out of it.",
    )
    oauth_token_url: str = Field(
        "", description="OAUTHBEARER: token endpoint instead, for the OAuth 2 client credentials grant."
    )
    oauth_client_id: str = Field("", description="Client id at the token endpoint.")
    oauth_client_secret_file: OptionalFile = Field(None, description="File that holds the client secret.")
    oauth_scope: str = Field("", description="Scope asked for at the token endpoint, where it wants one.")
    oauth_ca_file: OptionalFile = Field(
        None, description="CA certificates (PEM) of the token endpoint; the system's where unset."
    )
    oauth_extensions: dict[str, str] = Field(
        default_factory=dict, description="SASL extensions sent with the token, where the brokers want some."
    )
    ssl_ca_file: OptionalFile = Field(None, description="CA certificates (PEM); the system's where unset.")
    ssl_cert_file: OptionalFile = Field(None, description="Client certificate (PEM).")
    ssl_key_file: OptionalFile = Field(None, description="Client key (PEM).")
    isolation_level: Literal["read_committed", "read_uncommitted"] = Field(
        "read_committed",
        description="What is read: records of committed transactions only (and all outside any), or all.",
    )
    session_timeout_s: float = Field(6.0, gt=0, description="A dead worker's partitions move after this many seconds.")
    heartbeat_interval_s: float = Field(
        1.5, gt=0, description="Between heartbeats; a third of session_timeout_s at most."
    )
    rebalance_timeout_s: float = Field(15.0, gt=0, description="How long a rebalance waits for slow members.")
    request_timeout_s: float = Field(20.0, gt=0, description="Longest wait for one broker request.")
    outage_limit_s: float = Field(
        0.0,
        ge=0,
        description="End (exit 3) when the brokers, once reached, are away for this long; 0: wait for them for ever.",
    )
    metadata_max_age_s: float = Field(5.0, gt=0, description="New partitions are noticed within this many seconds.")
    fetch_max_bytes: int = Field(4 << 20, ge=1 << 10, description="Bytes of one partition that a fetch brings at most.")
    batch_max_bytes: int = Field(
        32 << 20,
        ge=1 << 20,
        description="Bytes that a compressed batch may hold; a larger one is not read and becomes a dead letter.",
    )
    max_poll_records: int = Field(4000, ge=1, description="Records of one partition handed over at a time.")
    max_in_flight_bytes: int = Field(
        32 << 20, ge=1 << 20, description="Fetched but unprocessed bytes; fetching pauses above."
    )
    max_unacked_bytes: int = Field(
        32 << 20, ge=1 << 20, description="Published but unacknowledged bytes; processing pauses above."
    )
    max_message_bytes: int = Field(900_000, ge=10_000, le=1_000_000, description="Largest message we publish.")
    compression: Literal["none", "gzip", "lz4", "zstd"] = Field(
        "none", description="Compression of published messages."
    )

    @property
    def max_request_bytes(self) -> int:
        """Largest request to a broker: one message, and what is wrapped around it."""
        return self.max_message_bytes + 100_000

    @property
    def wants_tokens(self) -> bool:
        """Whether clients log in with tokens."""
        return self.security_protocol.startswith("SASL") and self.sasl_mechanism == "OAUTHBEARER"

    @model_validator(mode="after")
    def _check(self) -> Kafka:
        if self.heartbeat_interval_s * 3 > self.session_timeout_s:
            raise ValueError(
                "heartbeat_interval_s must be at most a third of session_timeout_s, "
                "or one lost heartbeat ends the session"
            )
        if self.wants_tokens:
            self._check_tokens()
        elif self.security_protocol.startswith("SASL"):
            self._check_password()
        return self

    def _check_password(self) -> None:
        if not self.sasl_username:
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_username "
                "(and sasl_password or sasl_password_file)"
            )
        if self.oauth_token_command or self.oauth_token_url:
            raise ValueError("oauth_token_command and oauth_token_url need sasl_mechanism = OAUTHBEARER")

    def _check_tokens(self) -> None:
        if bool(self.oauth_token_command.strip()) == bool(self.oauth_token_url):
            raise ValueError("sasl_mechanism OAUTHBEARER needs either oauth_token_command or oauth_token_url")
        if self.oauth_token_url and not (self.oauth_client_id and self.oauth_client_secret_file):
            raise ValueError("oauth_token_url needs oauth_client_id and oauth_client_secret_file")

    @field_validator("oauth_token_command")
    @classmethod
    def _command(cls, command: str) -> str:
        try:
            shlex.split(command)
        except ValueError as error:
            raise ValueError(f"is no command: {error}") from None
        return command

    @field_validator("oauth_token_url")
    @classmethod
    def _private(cls, url: str) -> str:
        where = urlsplit(url)
        safe = where.scheme == "https" or (where.scheme == "http" and where.hostname in LOOPBACK)
        if url and not (safe and where.hostname and where.username is None):
            raise ValueError(
                "cannot be asked for a token: write https://host/path (http:// of this machine only, since the client "
                "secret goes there), and no login in it"
            )
        return url

    @field_validator("oauth_extensions")
    @classmethod
    def _sendable(cls, extensions: dict[str, str]) -> dict[str, str]:
        for name, value in extensions.items():
            if not (name.isascii() and name.isalpha() and name != "auth" and value.isascii() and value.isprintable()):
                raise ValueError(f"{name!r} is no SASL extension: letters for a name, plain text for a value")
        return extensions


def _named(name: str, description: str) -> Any:
    """A topic that is called ``name`` after the prefix, unless it is given another one."""
    return Field(default_factory=lambda given: str(given.get("prefix", "")) + name, description=description)


class Topics(Section):
    """Names of the topics, and the shape ``sie topics create`` gives them."""

    prefix: str = Field("", description="Before the names of all topics but the input's: gives a group its own.")
    events: str = Field("sie.events", description="Input: events (events.format), key = user_id.")
    weights: str = _named("sie.weights.v1", description="Output: weights, as output.format says.")
    samples: str = _named("sie.samples.v1", description="Output: settled samples, as output.format says.")
    entities: str = _named("sie.entities.v1", description="Output, compacted: state of users, items and categories.")
    recs: str = _named("sie.recs.v1", description="Output, compacted, with recommend.publish: what to show each user.")
    models: str = _named("sie.models.v1", description="Model manifests and announcements, compacted.")
    dead_letters: str = _named("sie.dead-letters.v1", description="Records that could not be read, with the reason.")
    partitions: int = Field(4, ge=1, le=4096, description="Partitions of all topics but models when they are made.")
    replication: int = Field(1, ge=1, description="Replicas of a topic when it is made; 3 in production.")
    events_retention_h: float = Field(168.0, gt=0, description="How long a new input topic keeps events, hours.")

    @field_validator("prefix")
    @classmethod
    def _legal_prefix(cls, prefix: str) -> str:
        return cls._legal(f"{prefix}sie.dead-letters.v1").removesuffix("sie.dead-letters.v1")

    @field_validator("events", "weights", "samples", "entities", "recs", "models", "dead_letters")
    @classmethod
    def _legal(cls, name: str) -> str:
        if not name or len(name) > 249 or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
            raise ValueError(f"{name!r} is no legal topic name: use letters, digits, '.', '_' and '-' only")
        return name


class Output(Section):
    """How what is published is written down; the rows are the same in every layout."""

    format: Literal["arrow", "json"] = Field(
        "arrow",
        description="Messages of weights and samples: arrow (Arrow IPC streams), or json (JSON lines, many times"
        " the bytes) for readers without Arrow.",
    )
    version: int = Field(
        2,
        ge=1,
        le=2,
        description="Layout of the Arrow messages of weights and samples: 2, or 1 (three times the bytes) for"
        " subscribers of 0.1.",
    )

    @property
    def layout(self) -> Layout:
        """How messages of rows are laid out."""
        return "json" if self.format == "json" else LAYOUTS[self.version - 1]


class Checkpoint(Section):
    """How often the state is made durable."""

    interval_s: float = Field(5.0, gt=0, description="Seconds between checkpoints of a shard.")


class Watchdog(Section):
    """When a stuck worker ends itself (exit 70) so that its supervisor restarts it.

    Time in which the brokers are away counts for none of these but the shutdown's.
    """

    progress_s: float = Field(
        60.0, gt=0, description="It ends when there is lag and no record is processed for this long."
    )
    checkpoint_s: float = Field(60.0, gt=0, description="It ends when work waits for a checkpoint for this long.")
    restore_s: float = Field(120.0, gt=0, description="It ends when a shard's restore takes longer than this.")
    shutdown_s: float = Field(20.0, gt=0, description="It ends at once when a shutdown takes longer than this.")


class Web(Section):
    """The worker's own site: the status page, /healthz, /readyz, /metrics."""

    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless told otherwise.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Names, beside addresses and this machine's own, under which a browser may ask for it."
    )
    ids: bool | None = Field(
        None,
        description="Whether the status page names users, items and events; by default on loopback, or with"
        " privacy.hmac_key_file.",
    )


class Api(Section):
    """Questions about weights, entities and pairs over HTTP, of a worker's own shards; off without a file of tokens."""

    token_file: OptionalFile = Field(
        None,
        description="Turns it on: file with the bearer tokens that are let in, one a line (>= 32 characters each); it"
        " is read again when it changes.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless told otherwise.")
    port: int = Field(8082, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Names, beside addresses and this machine's own, under which it may be asked for."
    )
    advertised_url: str = Field(
        "",
        description="Where other workers send those who ask for this one's shards, http(s)://host[:port][/path];"
        " by default from host and port, with this machine's name where host is any address.",
    )
    recent_bytes: int = Field(
        32 << 20,
        ge=1 << 20,
        description="Published weights that a shard keeps to be asked for, bytes; the oldest make room.",
    )
    max_requests: int = Field(32, ge=1, le=1_024, description="Requests at work at once; more are told to come back.")
    timeout_s: float = Field(5.0, gt=0, le=60, description="A request is given up after so many seconds.")

    @field_validator("advertised_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        if url and not is_base_url(url):
            raise ValueError(f"{url!r} is no address of a worker: write http(s)://host[:port], perhaps with a path")
        return url.rstrip("/")

    @property
    def enabled(self) -> bool:
        """Whether it is on."""
        return self.token_file is not None


def is_base_url(url: str) -> bool:
    """Whether ``url`` is one that paths can be appended to: http or https, a host, and neither query nor login."""
    if not (url.isascii() and url.isprintable() and " " not in url):
        return False
    try:
        where = urlsplit(url)
        where.port  # noqa: B018  # raises where it is none
    except ValueError:
        return False
    plain = not (where.query or where.fragment or "@" in where.netloc)
    return where.scheme in ("http", "https") and bool(where.hostname) and plain
