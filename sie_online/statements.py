"""What a shard says in JSON: about its entities (``sie.entities.v1``) and what it recommends (``sie.recs.v1``).

A statement about an entity is absolute, not a difference: the newest one per key is the whole truth of that shard. All
four figures are plain sums without priors, so that a reader may add the shards' statements of one entity; sums are
rounded to `DECIMALS`, far below what one event adds. `sie_online.shard.stated` writes many statements at once.

A shard makes one at an entity's first event, whenever its events have grown by the share ``entities.publish_growth``
(1: doubled) since the last, and at its first event after ``entities.publish_max_age_s``. So the newest lacks less than
g / (1 + g) of the entity's events, and so does the sum over shards: the mean noise read from it is off by less than
that, the mean weight by less than that share of the largest weight.

A list of recommendations takes the place of the user's last one. When one is made is `sie_online.shard`'s.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

EntityKind = Literal["user", "item", "category"]

DECIMALS = 6
"""Of the sums in a statement."""
UNIT: int = 10**DECIMALS


class EntityState(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Value of one record of ``sie.entities.v1``: what one shard knows of one user, item or category.

    Within a major version fields are only ever added, at the end and with a default.
    """

    n_events: int
    """Events of this entity that were weighed."""
    sum_weight: float
    """Sum of their weights at revision 0."""
    noise_alpha: float
    """Evidence for noise: the sum of noise probabilities (a Beta count without its prior)."""
    noise_beta: float
    """Evidence against noise: the sum of one minus the noise probabilities (a Beta count without its prior)."""
    source_partition: int
    """Partition of the input topic: the shard that speaks."""
    source_offset: int
    """Offset of the last event that the statement covers."""
    model_version: str
    """Model version in force at that event."""


class Recommendations(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Value of one record of ``sie.recs.v1``: what to show a user, as of their last event that changed it.

    Within a major version fields are only ever added, at the end and with a default.
    """

    user_id: str
    """The user, as published elsewhere."""
    items: list[str]
    """Item ids, the best first, each once."""
    event_time_ms: int
    """Time of the event after which this was the list, ms since 1970, as the user's clock says."""
    partition: int
    """Partition of the input topic: the shard that speaks, and the record's own partition."""
    offset: int
    """Offset of that event."""
    generation: int
    """Epoch of the shard's owner. A replay repeats the list with a higher one, and equal otherwise."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(EntityState)
_recommendations = msgspec.json.Decoder(Recommendations)


def key(kind: EntityKind, entity_id: bytes, partition: int) -> bytes:
    """``user:<id>`` (a user lives in one shard only), else ``<kind>:<id>#<partition>``; the id in UTF-8."""
    return b"user:" + entity_id if kind == "user" else b"%b:%b#%d" % (kind.encode(), entity_id, partition)


def encode(kind: EntityKind, entity_id: bytes, partition: int, state: EntityState) -> tuple[bytes, bytes]:
    """Key and value of the record that states ``state``, its sums rounded to `DECIMALS`."""
    rounded = msgspec.structs.replace(
        state,
        sum_weight=_rounded(state.sum_weight),
        noise_alpha=_rounded(state.noise_alpha),
        noise_beta=_rounded(state.noise_beta),
    )
    return key(kind, entity_id, partition), _encoder.encode(rounded)


def decode(value: bytes) -> EntityState:
    """The statement in ``value``; raises ``msgspec.ValidationError`` if it is none."""
    return _decoder.decode(value)


def encode_recommendations(made: Recommendations) -> tuple[bytes, bytes]:
    """Key (``user:<id>``) and value of the record that carries ``made``."""
    return key("user", made.user_id.encode(), made.partition), _encoder.encode(made)


def decode_recommendations(value: bytes) -> Recommendations:
    """The list in ``value``; raises ``msgspec.ValidationError`` if it is none."""
    return _recommendations.decode(value)


def _rounded(figure: float) -> float:
    return math.floor(figure * UNIT + 0.5) / UNIT
