"""What answers consist of: the one definition that they are written with and that the OpenAPI document is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sie_online.client.entities import Entity
from sie_online.client.rows import WeightRow
from sie_online.statements import EntityKind

Share = Annotated[float, Meta(ge=0, le=1)]
INTERVAL_LEVEL = 0.9


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """A row of sie.weights.v1, without the parts of its weight."""

    event_id: str
    event_type: str
    partition: int
    offset: int
    revision: Annotated[int, Meta(ge=0)]
    final: bool
    generation: int
    model_version: str
    event_time_ms: int
    published_ms: Annotated[int, Meta(description="Event time at which the statement became known.")]
    user_id: Annotated[str, Meta(description="As published: a pseudonym where those are on.")]
    item_id: str
    label: Annotated[Literal[0, 1] | None, Meta(description="null: not known (yet), or no sample.")]
    probability: Share
    error: float | None
    feature_score: float
    noise_probability: Share
    weight: Annotated[float, Meta(ge=0)]
    uncertainty: float


class Revision(Stated, frozen=True, kw_only=True):
    """One statement about an event."""

    factors: Annotated[dict[str, float], Meta(description="Additive parts of log weight.")]

    @classmethod
    def of(cls, row: WeightRow) -> Revision:
        """The row as it was published."""
        return cls(**row._asdict())


class Weights(msgspec.Struct, frozen=True):
    """What was published lately of the events of an id."""

    event_id: str
    complete: Annotated[bool, Meta(description="Whether none of the revisions so far is missing.")]
    revisions: Annotated[list[Revision], Meta(description="Newest first. Events may share an id: see offset.")]


class Part(msgspec.Struct, frozen=True):
    """One part of a weight; all logs together are the weight's."""

    log: float
    multiplier: float
    share: Annotated[float, Meta(ge=0, le=1, description="|log| over the sum of all |log|.")]


class NoiseModel(msgspec.Struct, frozen=True):
    """The noise model in force at the event; announcement 0: the default."""

    version: str
    announcement: int


class Explanation(Stated, frozen=True, kw_only=True):
    """Why the newest weight of an event is what it is: as ``sie explain --json`` says it without a look at topics."""

    factors: dict[str, Part]
    influence: None = None
    influence_unknown: Annotated[str, Meta(description="Why it is not said what moved the importance net's f(x).")]
    revisions: Annotated[list[Revision], Meta(description="Oldest first.")]
    noise_model: NoiseModel
    noise_evidence: None = None
    noise_unknown: str | None = None


class EntitySums(msgspec.Struct, frozen=True):
    """A user, item or category, as of this moment."""

    kind: EntityKind
    id: Annotated[str, Meta(description="Of users as published: a pseudonym where those are on.")]
    whole: Annotated[bool, Meta(description="False: other partitions may have events of it, too.")]
    scope: Annotated[str, Meta(description="Of which partitions the sums are, in words.")]
    partitions: Annotated[list[int], Meta(description="Those that were looked at.")]
    shards: Annotated[int, Meta(description="How many of them have events of it.")]
    n_events: Annotated[int, Meta(ge=0)]
    sum_weight: float
    mean_weight: float
    noise_alpha: float
    noise_beta: float
    noise_mean: Annotated[float, Meta(ge=0, le=1, description="Posterior mean of the share of noise.")]
    noise_interval: Annotated[
        list[Share], Meta(min_length=2, max_length=2, description="Central 90 % credible interval of it.")
    ]

    @classmethod
    def of(cls, kind: EntityKind, entity: Entity, partitions: list[int], n_partitions: int) -> EntitySums:
        """The sums over ``partitions``, of ``n_partitions`` there are."""
        whole = kind == "user" or len(partitions) == n_partitions
        looked = ", ".join(map(str, partitions))
        rest = "all there is" if whole else f"a part of {n_partitions} partitions; sie.entities.v1 has all"
        return cls(
            kind=kind,
            id=entity.id,
            whole=whole,
            scope=f"partition {looked}: {rest}",
            partitions=partitions,
            shards=entity.shards,
            n_events=entity.n_events,
            sum_weight=entity.sum_weight,
            mean_weight=entity.mean_weight,
            noise_alpha=entity.noise_alpha,
            noise_beta=entity.noise_beta,
            noise_mean=entity.noise_mean,
            noise_interval=list(entity.noise_interval(INTERVAL_LEVEL)),
        )


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """By which state of which shard."""

    user_id: Annotated[str, Meta(description="As published: a pseudonym where those are on.")]
    partition: int
    offset: Annotated[int, Meta(description="Next offset of the shard: what lies before it is known.")]
    event_time_ms: Annotated[int, Meta(description="What the shard's clock says.")]


class Score(AsOf, frozen=True, kw_only=True):
    """How likely a sample of the pair, would it happen now, is to convert."""

    item_id: str
    category_id: str | None
    probability: Share
    uncertainty: float
    knows_user: Annotated[bool, Meta(description="False: nothing is known of the user but what is of everybody.")]
    knows_item: bool


class Recommendations(AsOf, frozen=True, kw_only=True):
    """What the user may like next."""

    items: Annotated[list[str], Meta(description="Best first.")]


def encode(answer: Any) -> bytes:
    """As JSON; what is not finite becomes null."""
    return msgspec.json.encode(answer)
