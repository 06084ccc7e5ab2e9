"""Settled samples for PyTorch: ``SampleDataset``, an ``IterableDataset`` over ``sie.samples.v1``.

Owns which process reads which partitions, the tensors, and the position of what was handed on. Imported by nothing of
ours: PyTorch is no dependency of a subscriber. What is read and how repeats are known is ``subscriber``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sie_online.client.connection import settings_at
from sie_online.client.reader import Start, TopicReader, saved_positions
from sie_online.client.revisions import SETTLED_EVENTS
from sie_online.client.rows import place
from sie_online.client.share import News, SampleBuffer, Share, ShareSubscriber, loop_thread
from sie_online.client.subsample import CORRECTION, check_options
from sie_online.errors import DecisionError, UsageError
from sie_online.settings import Settings

try:
    import torch
    from torch import distributed
    from torch.utils.data import IterableDataset, get_worker_info
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"sie_online.client.torch needs PyTorch: pip install torch ({missing})", name=missing.name
    ) from None

BATCH_ROWS = 4_096

DTYPES: Mapping[str, Any] = {
    "features": np.int64,
    "dense": np.float32,
    "label": np.float32,
    "weight": np.float32,
    "user_hash": np.int64,
    "item_hash": np.int64,
    "category_hash": np.int64,
    "partition": np.int64,
    "offset": np.int64,
    "event_time_ms": np.int64,
    "settled_ms": np.int64,
}
"""Columns of every batch; the 64 bits of a hash are read as signed."""

Batch = dict[str, torch.Tensor]


def to_tensors(parts: Sequence[pa.RecordBatch], columns: Sequence[str] = ()) -> Batch:
    """The rows of ``parts`` as tensors of their own memory: ``DTYPES``, and ``columns`` as float32.

    ``features`` has shape (n, F), ``dense`` (n, D), all others (n,). Nulls in ``columns`` become NaN.

    Raises:
        UsageError: there is no such column, or it does not hold numbers.
    """
    dtypes = {**dict.fromkeys(columns, np.float32), **DTYPES}
    return {name: torch.from_numpy(_joined(parts, name, dtype)) for name, dtype in dtypes.items()}


def _joined(parts: Sequence[pa.RecordBatch], name: str, dtype: Any) -> np.ndarray[Any, Any]:
    try:
        arrays = [_values(part.column(name)) for part in parts]
        return np.concatenate(arrays, dtype=dtype, casting="unsafe")
    except KeyError:
        raise UsageError(f"samples have no column {name!r}; they have {', '.join(parts[0].schema.names)}") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"column {name!r} of the samples cannot become a tensor: {error}") from None


def _values(column: Any) -> np.ndarray[Any, Any]:
    """Values without a copy where there are no nulls; (n, width) for fixed-size lists."""
    if not pa.types.is_fixed_size_list(column.type):
        values: np.ndarray[Any, Any] = column.to_numpy(zero_copy_only=False)
        return values
    flat: np.ndarray[Any, Any] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), column.type.list_size)


class SampleDataset(IterableDataset[Batch]):
    """Settled samples as batches (dicts of tensors, see ``DTYPES``), each sample once, until idle or for ever.

    The topic's partitions are divided among the workers of a ``DataLoader`` and, where ``torch.distributed`` is
    initialised, among ranks (which then see different numbers of batches: train inside their ``Join``). Order is the
    partitions' own. Batches are made here, so the loader gets ``batch_size=None``::

        samples = SampleDataset(broker="127.0.0.1:9092", idle_s=5)
        for batch in DataLoader(samples, batch_size=None, num_workers=2):
            loss = binary_cross_entropy_with_logits(model(batch), batch["label"], weight=batch["weight"])
            ...
            samples.handled(batch)
        torch.save(samples.state_dict(), "position.pt")  # load_state_dict goes on from there

    A dataset that runs on (``idle_s=None``) in several workers wants ``DataLoader(…, in_order=False)``: in order, the
    loader waits for the worker whose partitions are silent. A worker without partitions ends at once.

    The position covers messages whose rows have all been handed on *in this process*, and every batch that
    ``handled`` was told of, which is how it learns what workers read. Going on from it loses nothing and may bring rows
    again (at least once). Iterating again goes on too. ``torchdata``'s ``StatefulDataLoader`` saves and restores it by
    itself. A sample is known by (partition, offset) of its event; a repetition within the last ``settled_events`` of
    a reader is dropped, whatever its values.

    Args:
        settings: broker, TLS and SASL as the worker's; default: environment and file (``sie_online.settings.load``).
        broker: bootstrap servers, instead of the setting.
        topic: topic to read, instead of the setting.
        start: ``"earliest"``, ``"latest"`` (looked up at once, so that all workers agree), what ``state_dict()`` or
            a subscriber's ``position()`` returned.
        idle_s: end at the log's end, when no message came for so many seconds; None: never.
        batch_size: rows per batch; only the last may have fewer.
        columns: more of the topic's columns to hand on, as float32: ``probability``, ``f_noise``, …
        budget: share of the samples to hand on, all positives and a few of the negatives; the batches then have
            ``log_odds_correction``, to be added to the logit in the loss and nowhere else. Each worker thins the
            partitions that it reads (see ``SampleSubscriber``).
        feature_schema: hash of the features to train on; samples with others are passed over. By default the first
            sample's (or the state's), and another is an error: the same numbers would mean something else.
        salt: of the choice of negatives.
        settled_events: bound on remembered samples, per worker; 40 bytes each.
        strict: a message that cannot be read is a ``MessageError``; by default it is passed over, the first with a
            warning in the log.

    Raises, when iterated (and for ``"latest"`` here), what ``WeightSubscriber`` raises, and:
        DecisionError: features change their meaning. The message names the hash to pass as ``feature_schema``.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        broker: str | None = None,
        topic: str | None = None,
        start: Start = "earliest",
        idle_s: float | None = None,
        batch_size: int = BATCH_ROWS,
        columns: Sequence[str] = (),
        budget: float | None = None,
        salt: int = 0,
        feature_schema: str | None = None,
        settled_events: int = SETTLED_EVENTS,
        strict: bool = False,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}: a batch has at least one row")
        self._settings = settings_at(settings, broker)
        self.topic = topic or self._settings.topics.samples
        self._options = {
            "idle_s": idle_s,
            "settled_events": settled_events,
            "strict": strict,
            "budget": budget,
            "salt": salt,
        }
        if budget is not None:
            check_options(budget, salt)  # here, not in a worker
        self._batch_size = batch_size
        self._columns = (*columns, *([CORRECTION] if budget is not None else []))
        self._only = feature_schema
        self._schema = feature_schema
        self._rank: Share | None = None
        self._positions: dict[int, int] = {}
        if start == "latest":
            self._positions = _log_ends(self._settings, self.topic)
        elif not isinstance(start, str):
            self.load_state_dict(start)

    def state_dict(self) -> dict[str, Any]:
        """JSON-able; save it after having handled the batches it covers."""
        positions = {str(number): offset for number, offset in sorted(self._positions.items())}
        return {"topic": self.topic, "positions": positions, "feature_schema": self._schema}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; to be called before iterating. The number of workers may have changed since.

        Raises:
            UsageError: it is no such state, or of another topic.
        """
        self._positions = saved_positions(state, self.topic)
        self._schema = self._only or state.get("feature_schema")

    def handled(self, batch: Batch) -> None:
        """``batch`` has been trained on: the position covers it."""
        self._advance(dict(batch["position"].tolist()))
        self._schema = self._only or bytes(batch["feature_schema"].tolist()).decode()

    def __iter__(self) -> Iterator[Batch]:
        """Besides ``DTYPES`` and ``columns`` a batch has ``position`` and ``feature_schema``, for ``handled``."""
        subscriber = ShareSubscriber(self._settings, self._share(), self.state_dict(), **self._options)
        with loop_thread() as run:
            try:
                run(subscriber.start())
                if positions := subscriber.positions:
                    yield from self._batches(positions, lambda: run(subscriber.next_news()))
            finally:
                run(subscriber.stop())

    def __getstate__(self) -> dict[str, Any]:
        """A spawned worker knows nothing of ``torch.distributed``: it is told its process's rank."""
        return self.__dict__ | {"_rank": _rank() or self._rank}

    def _share(self) -> Share:
        rank, worker = _rank() or self._rank or Share(), get_worker_info()
        return rank if worker is None else rank.divided(worker.id, worker.num_workers)

    def _batches(self, positions: dict[int, int], read: Callable[[], News | None]) -> Iterator[Batch]:
        held = SampleBuffer()
        while (news := read()) is not None:
            held.add(self._checked(news))
            while held.rows >= self._batch_size:
                yield self._hand_on(held, positions)
        if held.rows:
            yield self._hand_on(held, positions)

    def _hand_on(self, held: SampleBuffer, positions: dict[int, int]) -> Batch:
        parts, covered = held.take(self._batch_size)
        batch = to_tensors(parts, self._columns)
        positions |= covered
        self._advance(positions)
        batch["position"] = torch.tensor(sorted(positions.items()), dtype=torch.int64)
        batch["feature_schema"] = torch.tensor(list((self._schema or "").encode()), dtype=torch.uint8)
        return batch

    def _advance(self, positions: Mapping[int, int]) -> None:
        for number, offset in positions.items():
            self._positions[number] = max(offset, self._positions.get(number, 0))

    def _checked(self, news: News) -> News:
        """``news``, empty if its features are to be passed over."""
        batch, source = news
        if not len(batch):
            return news
        found = (batch.schema.metadata or {}).get(b"feature_schema_hash", b"").decode()
        self._schema = self._schema or found
        if found == self._schema:
            return news
        if self._only is not None:
            return News(batch.slice(0, 0), source)
        raise DecisionError(
            f"{place(source)}: from here on features mean something else (schema {found}, before {self._schema}): "
            f"train a new model, on SampleDataset(feature_schema={found!r}); or finish the old with the old one"
        )


def _log_ends(settings: Settings, topic: str) -> dict[int, int]:
    async def look() -> dict[int, int]:
        async with TopicReader(settings, topic, "latest") as reader:
            return reader.positions

    with loop_thread() as run:
        ends: dict[int, int] = run(look())
    return ends


def _rank() -> Share | None:
    if distributed.is_available() and distributed.is_initialized():
        return Share(distributed.get_rank(), distributed.get_world_size())
    return None
