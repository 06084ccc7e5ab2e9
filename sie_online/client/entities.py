"""What the fleet knows of users, items and categories: the shards' absolute statements, summed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sie_online.client.beta import beta_quantile
from sie_online.client.compacted import CompactedReader, short, text_of, whole
from sie_online.client.reader import Message
from sie_online.contracts import INT64_MAX, PARTITION_MAX

KINDS = ("user", "item", "category")

WHAT = "statement about an entity"

JEFFREYS = 0.5  # Beta(1/2, 1/2): intervals have close to their nominal coverage even after few events


class Name(NamedTuple):
    """An entity: its kind (``user``, ``item`` or ``category``) and id."""

    kind: str
    id: str


class Statement(NamedTuple):
    """What one shard says; the fields are those of ``sie_online.statements.EntityState``."""

    n_events: int
    sum_weight: float
    noise_alpha: float
    noise_beta: float
    source_partition: int
    source_offset: int
    model_version: str


@dataclass(frozen=True, slots=True)
class Entity:
    """One user, item or category over all shards.

    Shards state an entity anew when its events have grown by ``entities.publish_growth`` (by default: doubled), or at
    an event a day after the last statement: the sums lack less than half of the events there were.
    """

    kind: str
    id: str
    shards: int
    """How many shards have made a statement."""
    n_events: int
    sum_weight: float
    noise_alpha: float
    noise_beta: float

    @property
    def mean_weight(self) -> float:
        """Mean weight of its events (1 without any)."""
        return self.sum_weight / self.n_events if self.n_events else 1.0

    @property
    def noise_mean(self) -> float:
        """Posterior mean of the share of noise among its events, under Jeffreys' prior."""
        a, b = self._posterior
        return a / (a + b)

    def noise_interval(self, level: float = 0.9) -> tuple[float, float]:
        """Central credible interval of that share."""
        a, b = self._posterior
        return beta_quantile((1 - level) / 2, a, b), beta_quantile((1 + level) / 2, a, b)

    @property
    def _posterior(self) -> tuple[float, float]:
        return self.noise_alpha + JEFFREYS, self.noise_beta + JEFFREYS


class EntityTable:
    """The newest statement per key, held in memory; ``table[Name("item", "42")]`` is the sum over the shards."""

    def __init__(self) -> None:
        self._statements: dict[Name, dict[int | None, Statement]] = {}

    def __len__(self) -> int:
        return len(self._statements)

    def __iter__(self) -> Iterator[Entity]:
        return (self[name] for name in self._statements)

    def __contains__(self, name: Name) -> bool:
        return name in self._statements

    def __getitem__(self, name: Name) -> Entity:
        """Raises ``KeyError`` for an entity without statements."""
        shards = self._statements[name].values()
        return Entity(
            kind=name.kind,
            id=name.id,
            shards=len(shards),
            n_events=sum(shard.n_events for shard in shards),
            sum_weight=sum(shard.sum_weight for shard in shards),
            noise_alpha=sum(shard.noise_alpha for shard in shards),
            noise_beta=sum(shard.noise_beta for shard in shards),
        )

    def apply(self, key: bytes | None, value: bytes | None) -> Name:
        """Take one record in; a null value erases. Raises ``ValueError`` if it is no statement, and changes nothing."""
        name, partition = parse_key(key)
        statement = None if value is None else parse_statement(value)
        shards = self._statements.setdefault(name, {})
        shards.pop(partition, None)
        if statement is not None:
            shards[partition] = statement
        if not shards:
            del self._statements[name]
        return name


class EntityReader(CompactedReader):
    """Reads ``sie.entities.v1`` into ``table``.

    Example::

        async with EntityReader(broker="127.0.0.1:9092") as entities:
            await entities.refresh()
            item = entities.table[Name("item", "42")]
            print(item.mean_weight, item.noise_mean, item.noise_interval(0.9))

    A record that is no statement is counted (``unreadable``) and passed over; with ``strict`` it is an error.

    Raises, on entering, what ``TopicReader`` raises.
    """

    topic_setting = "entities"
    what = WHAT
    table_type = EntityTable
    table: EntityTable

    def take_in(self, record: Message) -> None:
        """Apply ``record`` to the table."""
        self.table.apply(record.key, record.value)


def parse_key(key: bytes | None) -> tuple[Name, int | None]:
    """Entity and partition (None for users) of ``user:<id>`` or ``<kind>:<id>#<partition>``."""
    kind, colon, rest = (key or b"").decode().partition(":")
    if kind not in KINDS or not colon:
        raise ValueError("it has no key of an entity")
    if kind == "user":
        return Name(kind, rest), None
    entity_id, mark, partition = rest.rpartition("#")
    if not (mark and partition.isascii() and partition.isdecimal()):
        raise ValueError("its key lacks the partition at its end")
    return Name(kind, entity_id), whole(int(partition), PARTITION_MAX)


def parse_statement(value: bytes) -> Statement:
    """The statement in a JSON value; unknown fields are ignored. Raises ``ValueError`` if there is none."""
    try:
        fields = json.loads(short(value))
        return Statement(
            n_events=whole(fields["n_events"], INT64_MAX),
            sum_weight=_finite(fields["sum_weight"]),
            noise_alpha=_finite(fields["noise_alpha"]),
            noise_beta=_finite(fields["noise_beta"]),
            source_partition=whole(fields["source_partition"], PARTITION_MAX),
            source_offset=whole(fields["source_offset"], INT64_MAX),
            model_version=text_of(fields["model_version"]),
        )
    except KeyError as error:
        raise ValueError(f"field {error} is missing") from None
    except (TypeError, RecursionError):
        raise ValueError("the value is no JSON object of numbers and a model version") from None


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= INT64_MAX:
        raise ValueError("a sum is not finite")
    return float(value)
