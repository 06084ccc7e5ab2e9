"""What the fleet knows of users, items and categories: the shards' absolute statements, summed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self, get_type_hints

from sie_online.client.beta import beta_quantile
from sie_online.client.connection import settings_at
from sie_online.client.reader import Message, TopicReader
from sie_online.errors import MessageError
from sie_online.settings import Settings

KINDS = ("user", "item", "category")

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


_STATEMENT_TYPES: dict[str, type] = get_type_hints(Statement)


@dataclass(frozen=True, slots=True)
class Entity:
    """One user, item or category over all shards."""

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
        """Take one record in; a null value erases. Raises ``ValueError`` if it is no statement."""
        name, partition = parse_key(key)
        shards = self._statements.setdefault(name, {})
        shards.pop(partition, None)
        if value is not None:
            shards[partition] = parse_statement(value)
        if not shards:
            del self._statements[name]
        return name


class EntityReader:
    """Reads ``sie.entities.v1`` into ``table``.

    Example::

        async with EntityReader(broker="127.0.0.1:9092") as entities:
            await entities.refresh()
            item = entities.table[Name("item", "42")]
            print(item.mean_weight, item.noise_mean, item.noise_interval(0.9))

    Raises, on entering, what ``TopicReader`` raises.
    """

    def __init__(
        self, settings: Settings | None = None, *, broker: str | None = None, topic: str | None = None
    ) -> None:
        settings = settings_at(settings, broker)
        self.table = EntityTable()
        self._reader = TopicReader(settings, topic or settings.topics.entities)

    async def __aenter__(self) -> Self:
        await self._reader.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.stop()

    async def refresh(self) -> int:
        """Read on to where the log ends now; how many records that were.

        Raises:
            MessageError: a record is no statement.
        """
        spans = await self._reader.spans()
        count = 0
        while not self._reader.reached(spans):
            for record in await self._reader.poll(timeout_s=1.0):
                self._apply(record)
                count += 1
        return count

    def _apply(self, record: Message) -> None:
        try:
            self.table.apply(record.key, record.value)
        except ValueError as error:
            place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
            raise MessageError(f"{place}: no statement about an entity: {error}") from None


def parse_key(key: bytes | None) -> tuple[Name, int | None]:
    """Entity and partition (None for users) of ``user:<id>`` or ``<kind>:<id>#<partition>``."""
    kind, colon, rest = (key or b"").decode().partition(":")
    if kind not in KINDS or not colon:
        raise ValueError(f"{key!r} is no key of an entity")
    if kind == "user":
        return Name(kind, rest), None
    entity_id, mark, partition = rest.rpartition("#")
    if not (mark and partition.isdecimal()):
        raise ValueError(f"{key!r} lacks the partition at its end")
    return Name(kind, entity_id), int(partition)


def parse_statement(value: bytes) -> Statement:
    """The statement in a JSON value; unknown fields are ignored."""
    fields = json.loads(value)
    try:
        return Statement(*(kind(fields[name]) for name, kind in _STATEMENT_TYPES.items()))
    except KeyError as error:
        raise ValueError(f"field {error} is missing") from None
    except TypeError:
        raise ValueError("the value is no JSON object of numbers and a model version") from None
