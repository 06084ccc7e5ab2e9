"""Messages that others wrote: each kind of damage is one error, before anything is allocated or looked at."""

from __future__ import annotations

import resource

import pyarrow as pa
import pytest

from sie_online import contracts, ipc
from sie_online.client.rows import SAMPLES, Source, read_batch
from sie_online.errors import MessageError
from tests.support.hostile_messages import HOSTILE, MARKED, bomb, crafted_schema, made, text_offsets, written
from tests.support.rows import SOURCE as EVENTS
from tests.support.rows import sample_batch, weight_message, weight_row

SOURCE = Source("sie.weights.v1", 3, 1234)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_one_error_that_names_its_place(name: str) -> None:
    with pytest.raises(MessageError, match=r"sie\.weights\.v1, partition 3, offset 1234") as refused:
        read_batch(HOSTILE[name](), SOURCE, contracts.WEIGHTS)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


def test_the_row_before_and_after_the_damage_are_what_was_damaged() -> None:
    """Without the damage each of these messages can be read: it is the damage that is refused."""
    for message in (weight_message(weight_row(user_id="u" * MARKED)), contracts.to_message(made())):
        assert len(read_batch(message, SOURCE, contracts.WEIGHTS))
    assert text_offsets(0, MARKED) == weight_message(weight_row(user_id="u" * MARKED))


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_message_that_others_compressed_is_read(compression: str) -> None:
    assert ipc.read_batch(written(made(), compression=compression)).equals(made())


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_bomb_is_refused_before_memory_is_taken_for_it(compression: str) -> None:
    message = bomb(compression)
    assert len(message) < 1_000_000
    before = pa.default_memory_pool().max_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(pa.ArrowInvalid, match="unpacks to more than"):
        ipc.read_batch(message)
    after = pa.default_memory_pool().max_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after[1] - before[1] < 10_000  # kB


def test_a_schema_that_names_a_text_many_times_is_refused_before_it_is_copied() -> None:
    assert ipc.read_batch(crafted_schema(1, b"x")).schema.metadata == {b"x": b"x"}
    message = crafted_schema(20_000, b"x" * 400_000)  # half a megabyte, of which Arrow would make 16 GB
    assert len(message) < 500_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(pa.ArrowInvalid, match="bytes of names and metadata"):
        ipc.read_batch(message)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_samples_may_have_any_number_of_features_but_must_have_their_columns() -> None:
    for n in (1, 7):
        batch = sample_batch(1, 2, n_features=n, n_dense=n)
        assert read_batch(contracts.to_message(batch), SOURCE, SAMPLES).equals(batch)
    with pytest.raises(MessageError, match="'settled_ms' is missing"):
        read_batch(weight_message(weight_row(final=True, label=1, error=0.5)), SOURCE, SAMPLES)


def test_a_sample_with_features_that_are_no_numbers_is_refused() -> None:
    batch = sample_batch(1, n_dense=2)
    at = batch.schema.get_field_index("dense")
    broken = pa.array([[0.5, float("nan")]], batch.schema.field(at).type)
    message = contracts.to_message(batch.set_column(at, batch.schema.field(at), broken))
    with pytest.raises(MessageError, match="'dense'"):
        read_batch(message, SOURCE, SAMPLES)


def test_what_a_message_is_made_of_is_read_back() -> None:
    batch = made()
    assert batch.schema.metadata[b"source_topic"] == EVENTS.encode()
    assert read_batch(contracts.to_message(batch), SOURCE, contracts.WEIGHTS).equals(batch, check_metadata=True)
