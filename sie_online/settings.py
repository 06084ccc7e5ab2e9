"""Every setting there is, defined once: environment (``SIE_…``, ``__`` between levels), TOML file and command line.

Precedence, highest first: values given in code or by ``--set``, environment, the TOML file named by ``SIE_CONFIG``, the
defaults below. Sections whose values change published rows are listed in ``ROW_SECTIONS``; their digest is the
*fingerprint* that a checkpoint carries, so that a worker never continues a state that other settings made.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from sie_online.errors import SettingsError

EventType = Literal["impression", "view", "click", "cart", "favorite", "purchase", "return", "rating"]


OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A file, or none: an empty variable means none and not the current directory."""


class Section(BaseModel):
    """A group of settings; unknown names are refused, so that a typing error cannot pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Kafka(Section):
    """How to reach and talk to the brokers; the subscriber client uses the first block too."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol spoken to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, where the protocol has SASL."
    )
    sasl_username: str = Field("", description="SASL user name.")
    sasl_password: SecretStr = Field(SecretStr(""), description="SASL password (never printed).")
    sasl_password_file: OptionalFile = Field(None, description="File that holds the SASL password instead.")
    ssl_ca_file: OptionalFile = Field(None, description="CA certificates (PEM); the system's where unset.")
    ssl_cert_file: OptionalFile = Field(None, description="Client certificate (PEM).")
    ssl_key_file: OptionalFile = Field(None, description="Client key (PEM).")
    session_timeout_s: float = Field(6.0, gt=0, description="A dead worker's partitions move after this many seconds.")
    heartbeat_interval_s: float = Field(1.5, gt=0, description="Group heartbeats; a quarter of the session timeout.")
    rebalance_timeout_s: float = Field(15.0, gt=0, description="How long a rebalance waits for slow members.")
    request_timeout_s: float = Field(20.0, gt=0, description="Longest wait for one broker request.")
    metadata_max_age_s: float = Field(5.0, gt=0, description="New partitions are noticed within this many seconds.")
    fetch_max_bytes: int = Field(4 << 20, ge=1 << 10, description="Bytes per partition and fetch.")
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

    @model_validator(mode="after")
    def _check(self) -> Kafka:
        if self.heartbeat_interval_s * 3 > self.session_timeout_s:
            raise ValueError(
                "heartbeat_interval_s must be at most a third of session_timeout_s, "
                "or one lost heartbeat ends the session"
            )
        if self.security_protocol.startswith("SASL") and not self.sasl_username:
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_username "
                "(and sasl_password or sasl_password_file)"
            )
        return self


class Topics(Section):
    """Names of the topics, and the shape ``sie topics create`` gives them."""

    events: str = Field("sie.events", description="Input: events as JSON, key = user_id.")
    weights: str = Field("sie.weights.v1", description="Output: weights as Arrow IPC streams.")
    samples: str = Field("sie.samples.v1", description="Output: settled samples as Arrow IPC streams.")
    entities: str = Field("sie.entities.v1", description="Output, compacted: state of users, items and categories.")
    models: str = Field("sie.models.v1", description="Model manifests and announcements, compacted.")
    dead_letters: str = Field("sie.dead-letters.v1", description="Records that could not be read, with the reason.")
    partitions: int = Field(4, ge=1, le=4096, description="Partitions of events, weights and samples on creation.")
    replication: int = Field(1, ge=1, description="Replication factor on creation; 3 in production.")
    events_retention_h: float = Field(168.0, gt=0, description="Retention of the input on creation, hours.")

    @field_validator("events", "weights", "samples", "entities", "models", "dead_letters")
    @classmethod
    def _legal(cls, name: str) -> str:
        if not name or len(name) > 249 or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
            raise ValueError(f"{name!r} is no legal topic name: use letters, digits, '.', '_' and '-' only")
        return name


class Limits(Section):
    """What a single event may be; beyond it the record is a dead letter."""

    value_bytes: int = Field(262_144, ge=1_000, description="Largest record value, bytes.")
    id_bytes: int = Field(256, ge=8, le=4_096, description="Longest id, bytes of UTF-8.")
    attributes: int = Field(64, ge=0, description="Most entries of 'attributes'.")
    future_s: float = Field(600.0, ge=0, description="An event may lie this far after its record's Kafka timestamp.")


class Labels(Section):
    """When a sample counts as converted."""

    window_s: float = Field(
        86_400.0, gt=0, description="Attribution window: a conversion counts within it, event time."
    )
    lateness_s: float = Field(0.0, ge=0, description="How much longer to wait for out-of-order events before settling.")
    samples: tuple[EventType, ...] = Field(("impression", "view", "click"), description="Event types that get a label.")
    conversions: tuple[EventType, ...] = Field(
        ("purchase",), description="Event types that make earlier samples positive."
    )
    max_open_views: int = Field(
        1 << 24, ge=1 << 10, description="Samples awaiting their label, per shard; beyond it the oldest settles early."
    )

    @model_validator(mode="after")
    def _check(self) -> Labels:
        if not self.samples or not self.conversions:
            raise ValueError("samples and conversions need at least one event type each")
        if both := set(self.samples) & set(self.conversions):
            raise ValueError(f"{sorted(both)} cannot be both a sample and a conversion: name each event type once")
        return self


class Dedupe(Section):
    """Recognition of repeated event ids."""

    events: int = Field(1 << 18, ge=0, description="How many last events of a shard are remembered; 0 switches it off.")


class Entities(Section):
    """Bounds of the tables (slots per shard, rounded up to a power of two); the longest unseen entity makes room."""

    users: int = Field(1 << 16, ge=1 << 6, description="Users remembered per shard.")
    items: int = Field(1 << 17, ge=1 << 6, description="Items remembered per shard.")
    categories: int = Field(1 << 13, ge=1 << 6, description="Categories remembered per shard.")
    pairs: int = Field(1 << 18, ge=1 << 6, description="User-item pairs remembered per shard.")
    interests: int = Field(1 << 17, ge=1 << 6, description="User-category pairs remembered per shard.")
    publish_epsilon: float = Field(
        0.05, gt=0, description="An entity is published when its mean noise or log mean weight moved by more."
    )
    publish_max_age_s: float = Field(
        86_400.0, gt=0, description="... or at this age of its last statement, event time."
    )


class Recommender(Section):
    """The online model of P(conversion)."""

    classifier: str = Field(
        "", description="Dotted path of a River classifier to use instead (slower); empty: our own."
    )
    seed: int = Field(0, ge=0, description="Seed of the factors' start values.")


class Importance(Section):
    """How factors become a weight."""

    combine: Literal["off", "sum", "product", "net"] = Field(
        "net",
        description="How the scores enter: their sum or product as factor 'score', or, once an importance net is"
        " announced, its f(x) as factor 'influence'.",
    )
    k: float = Field(1.0, ge=0.5, le=10.0, description="Scale of that factor, w = k f / mean f.")
    factors: tuple[Literal["noise", "delay", "balance"], ...] = Field(
        ("noise", "delay"), description="Factors that enter the weight."
    )
    class_power: float = Field(
        0.5, ge=0, le=1, description="Factor 'balance': a label weighs (n_other / n_same) to this power."
    )
    group_share: float = Field(
        0.2, gt=0, le=1, description="Factor 'balance': largest share of all events that a category keeps."
    )
    weight_min: float = Field(1e-3, gt=0, lt=1, description="Smallest published weight.")
    weight_max: float = Field(10.0, gt=1, le=1e3, description="Largest published weight.")
    min_effective_share: float = Field(
        0.1, ge=0, lt=1, description="Floor of the effective sample size as a share of n."
    )


class Guard(Section):
    """How much of the weighting is published."""

    strength: float = Field(1.0, ge=0, le=1, description="s in w <- 1 + s (w - 1); 0 publishes uniform weights.")


class Checkpoint(Section):
    """How often the state is made durable."""

    interval_s: float = Field(5.0, gt=0, description="Seconds between checkpoints of a shard.")


class Watchdog(Section):
    """When a stuck worker ends itself (exit 70) so that its supervisor restarts it."""

    progress_s: float = Field(60.0, gt=0, description="No record processed for this long while there is lag.")
    checkpoint_s: float = Field(60.0, gt=0, description="No checkpoint for this long.")
    restore_s: float = Field(120.0, gt=0, description="A shard's restore takes longer than this.")
    shutdown_s: float = Field(20.0, gt=0, description="A shutdown takes longer than this.")


class Web(Section):
    """The worker's own site: /healthz, /readyz, /metrics."""

    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless told otherwise.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")


class NetShape(Section):
    """Sizes of the importance net; a change starts the next fine-tune from nothing."""

    users: int = Field(1 << 15, ge=2, le=1 << 24, description="Buckets of user ids.")
    items: int = Field(1 << 16, ge=2, le=1 << 24, description="Buckets of item ids.")
    categories: int = Field(1 << 12, ge=2, le=1 << 24, description="Buckets of category ids.")
    id_dim: int = Field(8, ge=1, le=256, description="Numbers per embedded id.")
    type_dim: int = Field(4, ge=1, le=64, description="Numbers per embedded event type.")
    hidden1: int = Field(256, ge=1, le=4096, description="Width of the first hidden layer.")
    hidden2: int = Field(128, ge=1, le=4096, description="Width of the second hidden layer.")


class FineTuning(Section):
    """How a fine-tune goes."""

    device: Literal["auto", "cuda", "cpu"] = Field("auto", description="Where; auto takes a GPU where there is one.")
    mode: Literal["full", "heads"] = Field(
        "full", description="full trains all; heads the last layer over a frozen body, once there is a net."
    )
    target: Literal["influence", "error", "probability"] = Field("influence", description="What f(x) learns.")
    epochs: int = Field(6, ge=1, le=1000, description="Passes over the training part at most.")
    patience: int = Field(2, ge=1, description="Passes without a better validation loss before stopping.")
    batch: int = Field(1024, ge=64, description="Samples per step; halved where device memory runs out.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step for all but the embeddings.")
    importance_share: float = Field(1.0, ge=0, description="Importance loss against prediction loss.")
    spread_penalty: float = Field(0.1, ge=0, description="Lambda of the penalty mean((w - 1)^2).")
    largest_norm: float = Field(1e4, gt=0, description="A gradient norm above it ends the fine-tune.")
    slices: int = Field(6, ge=2, le=10_000, description="Time slices of the training part.")
    seed: int = Field(0, ge=0, description="Seed of start values, shuffling and the window's reservoir.")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of torch; 0: torch decides.")
    longest_s: float = Field(3_600.0, gt=0, description="A fine-tune that takes longer is given up.")


class NetGate(Section):
    """What a candidate must show, against uniform weights and the net in force, before it is announced."""

    nll_slack: float = Field(0.002, ge=0, description="NLL may be worse by this share.")
    auc_slack: float = Field(0.003, ge=0, description="AUC and GAUC may be lower by this much.")
    calibration_low: float = Field(0.9, ge=0, le=1, description="Least mean probability / positive rate.")
    calibration_high: float = Field(1.1, ge=1, description="Largest mean probability / positive rate.")
    effective_share: float = Field(0.3, ge=0, le=1, description="Least effective sample size as a share of n.")
    min_positives: int = Field(20, ge=1, description="Positives that the scored part needs for a verdict.")


class TrainerWeb(Section):
    """The trainer's own site: /healthz, /readyz, /metrics."""

    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless told otherwise.")
    port: int = Field(8081, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")


class Trainer(Section):
    """The process that fine-tunes the importance net. Nothing here changes a published row by itself."""

    every_samples: int = Field(50_000, ge=1, description="Fine-tune after this many newly settled samples ...")
    every_s: float = Field(900.0, gt=0, description="... or after this many seconds, if there are new ones.")
    min_samples: int = Field(5_000, ge=10, description="Fewer samples in the window are not trained on.")
    window_samples: int = Field(500_000, ge=10, description="Newest samples in the replay window.")
    window_age_s: float = Field(
        604_800.0, gt=0, description="How much older than the newest event they may be, event time."
    )
    window_positives: int = Field(50_000, ge=0, description="Reservoir of positives from before the window.")
    ahead_s: float = Field(10.0, gt=0, description="A version applies from what the log will hold in so many seconds.")
    nice: int = Field(10, ge=0, le=19, description="How far a worker's trainer stands back for it (niceness).")
    shape: NetShape = Field(default_factory=lambda: NetShape())
    fine_tune: FineTuning = Field(default_factory=lambda: FineTuning())
    gate: NetGate = Field(default_factory=lambda: NetGate())
    web: TrainerWeb = Field(default_factory=lambda: TrainerWeb())

    @model_validator(mode="after")
    def _check(self) -> Trainer:
        if self.min_samples > self.window_samples:
            raise ValueError("window_samples must be at least min_samples, or nothing is ever trained")
        return self


class Models(Section):
    """Artifacts of the importance net in the store."""

    keep: int = Field(
        10, ge=1, description="Versions kept beyond those that the log may still need; as many refused ones."
    )


class Privacy(Section):
    """What leaves the process about persons."""

    hmac_key_file: OptionalFile = Field(
        None, description="Key (>= 32 bytes); when set, published user ids are keyed HMACs."
    )


ROW_SECTIONS = ("limits", "labels", "dedupe", "entities", "recommender", "importance", "guard", "privacy")


class Settings(BaseSettings):
    """All settings of one deployment. Use ``load`` rather than the constructor: it explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="SIE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    broker: str = Field("127.0.0.1:9092", description="Bootstrap servers, host:port, comma-separated.")
    group: str = Field("sie", description="Consumer group of the workers.")
    instance_id: str = Field("", description="Static group membership: a stable name of this worker; empty: dynamic.")
    store: str = Field("file:///var/lib/sie", description="Checkpoints and models, an fsspec URL.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    kafka: Kafka = Field(default_factory=lambda: Kafka())
    topics: Topics = Field(default_factory=lambda: Topics())
    limits: Limits = Field(default_factory=lambda: Limits())
    labels: Labels = Field(default_factory=lambda: Labels())
    dedupe: Dedupe = Field(default_factory=lambda: Dedupe())
    entities: Entities = Field(default_factory=lambda: Entities())
    recommender: Recommender = Field(default_factory=lambda: Recommender())
    importance: Importance = Field(default_factory=lambda: Importance())
    guard: Guard = Field(default_factory=lambda: Guard())
    checkpoint: Checkpoint = Field(default_factory=lambda: Checkpoint())
    watchdog: Watchdog = Field(default_factory=lambda: Watchdog())
    web: Web = Field(default_factory=lambda: Web())
    trainer: Trainer = Field(default_factory=lambda: Trainer())
    models: Models = Field(default_factory=lambda: Models())
    privacy: Privacy = Field(default_factory=lambda: Privacy())

    @field_validator("broker")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for address in value.split(","):
            host, colon, port = address.strip().rpartition(":")
            if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
                raise ValueError(f"{address!r} is no address: write host:port, several separated by commas")
        return value

    @field_validator("store")
    @classmethod
    def _store_url(cls, value: str) -> str:
        if not value.startswith("file:///"):
            raise ValueError(f"{value!r} is no supported store: write file:///absolute/path")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.recommender.classifier and not self.store.startswith("file://"):
            raise ValueError("recommender.classifier works only with a file:// store")
        if self.watchdog.checkpoint_s < 3 * self.checkpoint.interval_s:
            raise ValueError("watchdog.checkpoint_s must be at least three times checkpoint.interval_s")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Code over environment over the file that ``SIE_CONFIG`` names."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, os.environ.get("SIE_CONFIG") or None)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of every setting that changes published rows."""
        rows = self.model_dump_json(include=set(ROW_SECTIONS))
        return hashlib.sha256(rows.encode()).hexdigest()


HOW_TO_WRITE = (
    "in the environment a list is JSON, as in SIE_IMPORTANCE__FACTORS='[\"noise\"]', "
    "and a section's settings have variables of their own, as SIE_WEB__PORT=0"
)


def load(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings from all sources; ``overrides`` is nested, as in ``{"web": {"port": 0}}``.

    Raises:
        SettingsError: a value is refused or a name is unknown; one line per problem, each naming the setting.
    """
    _refuse_unreadable_file(os.environ.get("SIE_CONFIG"))
    try:
        settings = Settings(**(overrides or {}))
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(problem) for problem in error.errors())) from None
    except SourceError as error:
        raise SettingsError(f"{error}: {HOW_TO_WRITE}") from None
    _refuse_unknown_environment(settings)
    return settings


def _refuse_unreadable_file(file: str | None) -> None:
    if not file:
        return
    try:
        tomllib.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"SIE_CONFIG names {file}, which cannot be read: {error.strerror}") from None
    except ValueError as error:  # TOML and UTF-8 errors alike
        raise SettingsError(f"SIE_CONFIG names {file}, which is no TOML: {error}") from None


def _sentence(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    path = [part for part in problem["loc"] if isinstance(part, str)]  # without the position in a list
    if not path:
        return message
    if problem["type"] == "extra_forbidden":
        message = "there is no such setting; see 'sie config show' for the names there are"
    return f"{'.'.join(path)}: {message} (environment: SIE_{'__'.join(path).upper()})"


KNOWN_ELSEWHERE = {"SIE_CONFIG", "SIE_CACHE_DIR"}


def _refuse_unknown_environment(settings: Settings) -> None:
    names = {f"SIE_{field}".upper() for field in type(settings).model_fields} | KNOWN_ELSEWHERE
    for variable in sorted(os.environ):
        if variable.startswith("SIE_") and variable.split("__")[0].upper() not in names:
            raise SettingsError(f"{variable} is no setting: unset it, or see 'sie config show' for the names there are")
