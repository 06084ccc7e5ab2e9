"""The PyTorch dataset without a broker: tensors, shares of partitions, repeats, batches and the position."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from sie_online import contracts
from sie_online.client import share as module
from sie_online.client import torch as client
from sie_online.client.rows import Source
from sie_online.client.share import News, SampleBuffer, Share, loop_thread
from sie_online.client.subsample import CORRECTION
from sie_online.client.torch import SampleDataset, to_tensors
from sie_online.errors import DecisionError, MessageError, UnreachableError, UsageError
from tests.support.rows import sample_batch, weight_message, weight_row

SettingsFactory = Callable[..., Any]


@dataclass
class ShareRecord:
    """A consumer's record."""

    value: bytes
    offset: int
    partition: int = 0
    topic: str = "samples"
    headers: Sequence[tuple[str, bytes]] = ()


class FakeShareReader:
    """Stands in for ``ShareReader``: hands over the records of its share from its start on, one a poll."""

    records: Iterable[ShareRecord] = ()
    partitions = 2

    def __init__(self, settings: Any, topic: str, share: Share, start: Any) -> None:
        mine = [number for number in range(self.partitions) if share.holds(number)]
        self.positions = {number: int(start["positions"].get(str(number), 0)) for number in mine}
        self.left = [one for one in self.records if one.offset >= self.positions.get(one.partition, 1 << 60)]

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def read_on(self, idle_s: float | None) -> list[ShareRecord]:
        """The next record."""
        return [self.left.pop(0)] if self.left else []


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch, settings: SettingsFactory) -> Callable[..., SampleDataset]:
    """Factory: a dataset over messages (lists of offsets, or bytes) that lie on the partitions in turn."""

    def make(*messages: Any, partitions: int = 1, **options: Any) -> SampleDataset:
        values = [one if isinstance(one, bytes) else samples(*one) for one in messages]
        records = [ShareRecord(value, at // partitions, at % partitions) for at, value in enumerate(values)]
        monkeypatch.setattr(FakeShareReader, "records", records)
        monkeypatch.setattr(FakeShareReader, "partitions", partitions)
        monkeypatch.setattr(module, "ShareReader", FakeShareReader)
        return SampleDataset(settings(), topic="samples", **options)

    return make


def samples(*offsets: int, **values: Any) -> bytes:
    return contracts.to_message(sample_batch(*offsets, **values))


def with_schema(*offsets: int, name: str) -> bytes:
    batch = sample_batch(*offsets)
    return contracts.to_message(batch.replace_schema_metadata({"feature_schema_hash": name}))


def offsets(batches: Iterable[Any]) -> list[list[int]]:
    return [batch["offset"].tolist() for batch in batches]


def test_columns_become_tensors_of_their_own_memory() -> None:
    batch = sample_batch(4, 5, 6)
    tensors = to_tensors([batch.slice(1, 1), batch.slice(2)], ["probability", "f_noise"])
    assert {name: (tuple(t.shape), t.dtype) for name, t in tensors.items() if name in ("features", "dense")} == {
        "features": ((2, 3), torch.int64),
        "dense": ((2, 2), torch.float32),
    }
    assert tensors["offset"].tolist() == [5, 6]
    assert tensors["label"].tolist() == [1.0, 0.0]
    assert tensors["features"].tolist() == [[0, 1, 2], [0, 1, 2]]
    assert tensors["user_hash"].tolist() == [-1, -1]  # 2**64 - 1, the same 64 bits
    assert tensors["probability"].dtype == torch.float32
    tensors["weight"] *= 2  # writable, and not Arrow's memory
    assert batch.column("weight").to_pylist() == [2.0, 2.0, 2.0]


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'colour'.*probability"):
        to_tensors([sample_batch(1)], ["colour"])


def test_text_is_no_tensor() -> None:
    with pytest.raises(UsageError, match="event_id"):
        to_tensors([sample_batch(1)], ["event_id"])


def test_a_budget_keeps_the_positives_and_brings_the_correction(dataset: Callable[..., SampleDataset]) -> None:
    batches = list(dataset(range(100), range(100, 300), budget=0.2, batch_size=64))
    kept = torch.cat([batch["offset"] for batch in batches])
    assert set(range(1, 300, 2)) <= set(kept.tolist())  # those of odd offsets are positive
    assert len(kept) < 300
    correction = torch.cat([batch[CORRECTION] for batch in batches])
    assert correction.dtype == torch.float32
    assert correction[0] == 0
    assert correction[-1] > 0


def test_how_many_workers_read_does_not_matter_to_what_a_budget_keeps(
    dataset: Callable[..., SampleDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition is thinned by itself, whoever reads it."""

    def kept(number: int, workers: int) -> list[tuple[int, int, float]]:
        monkeypatch.setattr(client, "get_worker_info", lambda: type("Info", (), {"id": number, "num_workers": workers}))
        read = dataset(*(range(at, at + 200, 2) for at in range(0, 1_200, 200)), partitions=3, budget=0.2)
        return [
            row
            for batch in read
            for row in zip(*(batch[name].tolist() for name in ("partition", "offset", CORRECTION)), strict=True)
        ]

    alone = kept(0, 1)
    assert 0 < len(alone) < 600
    assert sorted(kept(0, 2) + kept(1, 2)) == sorted(alone)


@pytest.mark.parametrize("options", [{"budget": 2}, {"budget": 0.1, "salt": 2**64}], ids=str)
def test_what_is_no_budget_is_refused_at_once(dataset: Callable[..., SampleDataset], options: Any) -> None:
    with pytest.raises(UsageError, match=r"share of all rows|whole number"):
        dataset(**options)


def test_messages_become_batches_of_the_size_asked_for(dataset: Callable[..., SampleDataset]) -> None:
    made = dataset(range(3), range(3, 4), range(4, 11), batch_size=4)
    assert offsets(made) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_a_sample_comes_once_even_if_a_later_statement_differs(dataset: Callable[..., SampleDataset]) -> None:
    repeated = sample_batch(0, 1, 2, generation=2)
    at = repeated.schema.get_field_index("weight")
    changed = repeated.set_column(at, repeated.schema.field(at), pa.array([9.0, 9.0, 9.0]))
    assert offsets(dataset([0, 1], contracts.to_message(changed), [1, 3])) == [[0, 1, 2, 3]]


def test_repetitions_are_known_within_the_bound(dataset: Callable[..., SampleDataset]) -> None:
    made = dataset(range(100), [0, 99], settled_events=16)
    assert offsets(made)[0].count(99) == 1
    assert offsets(dataset(range(100), [0, 99], settled_events=16, batch_size=100))[1] == [0]


def test_the_position_covers_a_message_with_its_last_row(dataset: Callable[..., SampleDataset]) -> None:
    made = dataset(range(3), range(3, 6), batch_size=2)
    assert [made.state_dict()["positions"]["0"] for _ in made] == [0, 1, 2]


def test_the_position_does_not_run_ahead_over_repeats(dataset: Callable[..., SampleDataset]) -> None:
    """A message without news must not cover one before it whose rows are still held."""
    made = dataset(range(5), range(5), range(5, 10), b"no message", batch_size=4, strict=True)
    taken = iter(made)
    assert [next(taken)["position"].tolist(), next(taken)["position"].tolist()] == [[[0, 0]], [[0, 2]]]
    with pytest.raises(MessageError, match="samples, partition 0, offset 3"):
        next(taken)
    assert made.state_dict()["positions"] == {"0": 2}


def test_going_on_from_a_state_loses_nothing(dataset: Callable[..., SampleDataset]) -> None:
    messages = [range(first, first + 3) for first in range(0, 30, 3)]
    made = dataset(*messages, partitions=2, batch_size=4)
    seen: set[int] = set()
    for _, batch in zip(range(4), made, strict=False):
        seen |= set(batch["offset"].tolist())
    state = json.loads(json.dumps(made.state_dict()))
    assert seen != set(range(30))
    resumed = dataset(*messages, partitions=2, batch_size=4)
    resumed.load_state_dict(state)
    later = [offset for batch in offsets(resumed) for offset in batch]
    assert seen | set(later) == set(range(30))
    assert len(later) <= 30 - 16 + 6  # at most what was held of a message per partition comes again


def test_iterating_again_goes_on(dataset: Callable[..., SampleDataset]) -> None:
    made = dataset([0, 1], [2])
    assert offsets(made) == [[0, 1, 2]]
    assert offsets(made) == []


def test_another_process_learns_the_position_from_batches(dataset: Callable[..., SampleDataset]) -> None:
    reading, training = (dataset([0, 1], [2, 3], partitions=2) for _ in range(2))
    for batch in reading:
        training.handled(batch)
    assert training.state_dict() == reading.state_dict()
    assert training.state_dict()["positions"] == {"0": 1, "1": 1}
    assert training.state_dict()["feature_schema"] == "feature-schema"


def test_workers_and_ranks_divide_the_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = [Share(rank, 2).divided(worker, 3) for rank in range(2) for worker in range(3)]
    held = [[number for number in range(12) if share.holds(number)] for share in shares]
    assert sorted(number for one in held for number in one) == list(range(12))
    assert {len(one) for one in held} == {2}
    few = [sum(Share(rank, 2).divided(worker, 3).holds(number) for worker in range(3) for number in range(2))
           for rank in range(2)]  # fmt: skip
    assert few == [1, 1]  # two partitions go to two ranks, not to two workers of one


def test_a_worker_reads_its_share(dataset: Callable[..., SampleDataset], monkeypatch: pytest.MonkeyPatch) -> None:
    made = dataset([0], [1], [2], [3], partitions=2)
    monkeypatch.setattr(client, "get_worker_info", lambda: type("Info", (), {"id": 1, "num_workers": 2}))
    assert offsets(made) == [[1, 3]]
    monkeypatch.setattr(client, "get_worker_info", lambda: type("Info", (), {"id": 2, "num_workers": 3}))
    assert offsets(made) == []  # more workers than partitions: ends at once


def test_a_spawned_worker_is_told_its_rank(
    dataset: Callable[..., SampleDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dataset([0], [1], [2], [3], partitions=2)
    with monkeypatch.context() as patch:
        distribute(patch, rank=1, ranks=2)
        sent = pickle.dumps(made)
    assert offsets(pickle.loads(sent)) == [[1, 3]]


def test_the_rank_is_that_of_torch_distributed(
    dataset: Callable[..., SampleDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dataset([0], [1], [2], [3], partitions=2)
    distribute(monkeypatch, rank=1, ranks=2)
    assert offsets(made) == [[1, 3]]


def distribute(patch: pytest.MonkeyPatch, *, rank: int, ranks: int) -> None:
    """Have ``torch.distributed`` say that this process is one of several."""
    for name, value in (("is_initialized", True), ("get_rank", rank), ("get_world_size", ranks)):
        patch.setattr(client.distributed, name, lambda value=value: value)


def test_features_of_another_meaning_are_refused(dataset: Callable[..., SampleDataset]) -> None:
    messages = with_schema(0, 1, name="old"), with_schema(2, name="new"), with_schema(3, name="old")
    taken = iter(dataset(*messages, batch_size=2))
    assert next(taken)["offset"].tolist() == [0, 1]
    with pytest.raises(DecisionError, match=r"offset 1: .*schema new, before old.*feature_schema='new'"):
        next(taken)
    assert offsets(dataset(*messages, feature_schema="old")) == [[0, 1, 3]]
    resumed = dataset(*messages)
    resumed.load_state_dict({"topic": "samples", "positions": {"0": 1}, "feature_schema": "old"})
    with pytest.raises(DecisionError):
        next(iter(resumed))


@pytest.mark.parametrize("state", [{}, {"topic": "other", "positions": {}}, {"topic": "samples"}])
def test_what_is_no_state_is_refused(dataset: Callable[..., SampleDataset], state: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        dataset().load_state_dict(state)


def test_weights_are_no_samples(dataset: Callable[..., SampleDataset]) -> None:
    with pytest.raises(MessageError, match="is this the right topic"):
        list(dataset(weight_message(weight_row(0, final=True)), strict=True))


def test_a_message_that_cannot_be_read_is_passed_over_and_covered(dataset: Callable[..., SampleDataset]) -> None:
    made = dataset(range(3), b"no message", range(3, 6), b"no message", batch_size=6)
    (batch,) = made
    assert batch["offset"].tolist() == list(range(6))
    assert made.state_dict()["positions"] == {"0": 3}  # the last one comes again, and is passed over again


def test_a_batch_has_a_row(settings: SettingsFactory) -> None:
    with pytest.raises(UsageError, match="batch_size"):
        SampleDataset(settings(), batch_size=0)


def test_it_reads_within_a_running_event_loop(dataset: Callable[..., SampleDataset]) -> None:
    made = dataset([0, 1])

    async def notebook() -> list[list[int]]:
        return offsets(made)

    assert asyncio.run(notebook()) == [[0, 1]]


def test_a_waiting_worker_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = type("Parent", (), {"is_alive": staticmethod(lambda: False)})
    monkeypatch.setattr(module, "PARENT_CHECK_S", 0.01)
    monkeypatch.setattr(module.multiprocessing, "parent_process", lambda: gone)
    with loop_thread() as run, pytest.raises(UnreachableError, match="has ended"):
        run(asyncio.Event().wait())


def test_what_is_held_is_taken_in_order_whatever_the_cut() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 5, 50).tolist()
    held, starts = SampleBuffer(), np.cumsum([0, *lengths]).tolist()
    for at, (start, length) in enumerate(zip(starts, lengths, strict=False)):
        batch = sample_batch(*range(start, start + length)) if length else sample_batch(0).slice(0, 0)
        held.add(News(batch, Source("samples", 0, at)))
    rows: list[int] = []
    for parts, covered in _drain(held, rng):
        rows += [offset for part in parts for offset in part.column("offset").to_pylist()]
        assert covered.get(0, 0) <= sum(start <= len(rows) for start in starts[1:])
    assert rows == list(range(starts[-1]))
    assert held.rows == 0


def _drain(held: SampleBuffer, rng: np.random.Generator) -> Iterator[Any]:
    while held.rows:
        yield held.take(int(rng.integers(1, 7)))


def test_without_torch_the_install_line_is_told() -> None:
    code = "import sys; sys.modules['torch'] = None; import sie_online.client.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install torch" in done.stderr.splitlines()[-1]
