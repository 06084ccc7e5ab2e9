"""What changes published rows: a checkpoint carries the digest of these sections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sie_online.contracts import CONVERSION_TYPES, FIRST_MS, SAMPLE_TYPES, EventType
from sie_online.settings.section import OptionalFile, Section

Moment = Annotated[datetime, AfterValidator(lambda at: at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))]


class Events(Section):
    """How events are written on their topic."""

    format: str = Field(
        "json",
        min_length=1,
        description="Format of the records, json or package.module:Class; JSON is understood in any case.",
    )


class Limits(Section):
    """What a single event may be; beyond it the record is a dead letter."""

    value_bytes: int = Field(262_144, ge=1_000, description="Largest record value, bytes.")
    id_bytes: int = Field(256, ge=8, le=4_096, description="Longest id, bytes of UTF-8.")
    attributes: int = Field(64, ge=0, description="Most entries of 'attributes'.")
    earliest: Moment = Field(
        datetime(1995, 1, 1, tzinfo=UTC),
        ge=datetime.fromtimestamp(FIRST_MS / 1_000, UTC),
        le=datetime(2100, 1, 1, tzinfo=UTC),
        description="An event may not be earlier: a day or time (ISO 8601), UTC unless it names a zone.",
    )
    future_s: float = Field(600.0, ge=0, description="An event may lie this far after its record's Kafka timestamp.")

    @property
    def earliest_ms(self) -> int:
        """``earliest`` in ms since 1970."""
        return round(self.earliest.timestamp() * 1_000)


class Labels(Section):
    """When a sample counts as converted."""

    window_s: float = Field(
        86_400.0, gt=0, description="Attribution window: a conversion counts within it, event time."
    )
    lateness_s: float = Field(0.0, ge=0, description="How much longer to wait for out-of-order events before settling.")
    samples: tuple[EventType, ...] = Field(SAMPLE_TYPES, description="Event types that get a label.")
    conversions: tuple[EventType, ...] = Field(
        CONVERSION_TYPES, description="Event types that make earlier samples positive."
    )
    max_open_views: int = Field(
        1 << 25, ge=1 << 10, description="Samples awaiting their label, per shard; beyond it the oldest settles early."
    )

    @model_validator(mode="after")
    def _check(self) -> Labels:
        if not self.samples or not self.conversions:
            raise ValueError("samples and conversions need at least one event type each")
        if both := set(self.samples) & set(self.conversions):
            raise ValueError(f"{sorted(both)} cannot be both a sample and a conversion: name each event type once")
        return self

    @property
    def window_ms(self) -> int:
        """``window_s`` in ms."""
        return round(self.window_s * 1_000)

    @property
    def lateness_ms(self) -> int:
        """``lateness_s`` in ms."""
        return round(self.lateness_s * 1_000)

    @property
    def settles_after_ms(self) -> int:
        """How long after a sample its last statement is due: the window, and the wait for late events."""
        return self.window_ms + self.lateness_ms


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
    publish_growth: float = Field(
        1.0,
        ge=0,
        le=100,
        description="An entity is published at its first event and whenever its events have grown by this share since"
        " (1: doubled), so readers lack less than growth / (1 + growth) of them ...",
    )
    publish_max_age_s: float = Field(
        86_400.0, gt=0, description="... or at its first event after this age of its last statement, event time."
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
        ("noise",),
        description="Factors that enter the weight; by default those that have shown a gain.",
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
    """How much of the weighting is published: s in w <- 1 + s (w - 1)."""

    strength: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Pins s, 0 publishes uniform weights; without it a running test of harm decides.",
    )
    alpha: float = Field(
        0.05, gt=0, le=0.5, description="Share, at most, of that test's rounds that take harmless weights for harmful."
    )

    @property
    def highest(self) -> float:
        """The highest strength that can be in force."""
        return 1.0 if self.strength is None else self.strength


class Privacy(Section):
    """What leaves the process about persons."""

    hmac_key_file: OptionalFile = Field(
        None,
        description="Key (>= 32 bytes); when set, published user ids are keyed HMACs, and dead letters have no value.",
    )
