"""Each decoder of what others wrote, valid inputs for it, and what must hold of whatever it is given."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from unittest.mock import patch

import msgspec
import numpy as np
import pyarrow as pa
from safetensors import numpy as safetensors_numpy

from models.errors import ArtifactError, ManifestError, SampleError
from models.manifest import Manifest
from models.noise.artifact import encode_noise, noise_of
from models.samples import from_table
from models.snapshot import net_of, tensors_in
from sie_online import contracts, ndjson_text, statements, unpacking
from sie_online.announcements import NET, Announcement, announcement_key, encode, manifest_key
from sie_online.client.batches import bounded
from sie_online.client.entities import EntityTable
from sie_online.client.recommendations import RecommendationTable
from sie_online.client.rows import SAMPLES, Source, read_batch, weight_rows
from sie_online.client.rows import statements as statements_of
from sie_online.errors import CheckpointError, DecisionError, MessageError
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.records import LogRecord
from sie_online.recommender.pooling import Gain, Gains
from sie_online.settings import Settings
from streams.checkpoint import manifest as checkpoints
from streams.model_registry.priors import parts_of, tensors_of
from streams.model_registry.registry import empty_registry, take_in
from streams.observe.metrics import Metrics
from tests.fuzz.mutate import BINARY, TEXT, Mutation, token
from tests.support.events import EventRecord, batch, random_events, records
from tests.support.log_records import CODECS, COUNT, Fetched, as_columns, by_objects, sealed
from tests.support.log_records import batch as record_batch
from tests.support.neighbourhoods import neighbourhoods
from tests.support.noise_examples import random_canary, random_noise
from tests.support.rows import packed, packed_samples, sample_batch, weight_batch, weight_message, weight_row
from tests.support.samples import made_manifest
from tests.support.versions import made_version

Seeds = Sequence[bytes]
Check = Callable[[Sequence[bytes]], None]

ANYWHERE = Source("topic", 0, 0)
TABLES = {"linear": np.zeros((8, 2, 4)), "factors": np.zeros((8, 2, 6))}


@dataclass(frozen=True)
class Target:
    """``check`` raises where something does not hold; it takes ``lot`` inputs at a time."""

    seeds: Callable[[], Seeds]
    check: Check
    mutations: Sequence[Mutation]
    lot: int = 1


# -- events: the fast path and the slow one say the same, and nothing raises


def _events() -> Seeds:
    plain = [record.value or b"" for record in records(random_events(20, seed=1))]
    rich = {
        "event_id": "é",
        "user_id": "u1",
        "item_id": 10**25,
        "event_type": "purchase",
        "timestamp_ms": 1_700_000_000_000,
        "category_id": None,
        "price": 19.99,
        "position": 3,
        "rating": -2,
        "attributes": {"a": 1, "b": "x", "c": True},
        "other": [1, {"b": None}],
    }
    beat = {"event_type": "heartbeat", "timestamp_ms": 1_700_000_000_000}
    return [*plain, msgspec.json.encode(rich), msgspec.json.encode(beat)]


def _check_events(inputs: Sequence[bytes]) -> None:
    rows = batch([EventRecord(at, value, b"u1") for at, value in enumerate(inputs)])
    fast, dead = _decoder().decode(rows)
    with patch("sie_online.ingest.formats.json.parse"):  # nothing is sure any more
        slow, slow_dead = _decoder().decode(rows)
    assert len(fast) + len(dead) == len(inputs)
    assert dead == slow_dead
    assert fast.columns.tobytes() == slow.columns.tobytes()
    for name in ("event_id", "user_id", "item_id", "category_id"):
        assert list(getattr(fast, name).values()) == list(getattr(slow, name).values())


@cache
def _decoder() -> Decoder:
    return Decoder(Settings())


# -- record batches under a checksum that fits: columns over the bytes are what aiokafka reads, or stands in for


def _batches() -> Seeds:
    heads = (("traceparent", b"00-4bf9-01"), ("empty", b""))
    rows = [LogRecord(at, at, b"u%d" % at, b"value" * at, heads[: at % 3]) for at in range(9)]
    return [record_batch(rows, codec) for codec in CODECS] + [record_batch([], last=7)]


def _check_batches(inputs: Sequence[bytes]) -> None:
    for data in inputs:
        if len(data) > COUNT + 4:
            fetched = Fetched(bounded(sealed(data), 1 << 20))
            assert list(as_columns(fetched)) == list(by_objects(fetched))


# -- rows: a MessageError, or rows that every reader can work with


def _rows() -> Seeds:
    rows = [weight_row(at, event_type=name, label=at % 2) for at, name in enumerate(contracts.EVENT_TYPES)]
    messages = [weight_message(*rows[:n]) for n in (0, 1, 8)]
    for compression in ("lz4", "zstd"):
        sink = pa.BufferOutputStream()
        source = unpacking.from_message(messages[-1]).to_batches()[0]
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(sink, source.schema, options=options) as writer:
            writer.write_batch(source)
        messages.append(bytes(sink.getvalue()))
    samples = sample_batch(1, 2, 3)
    return [
        *messages,
        contracts.to_message(samples),
        *packed(weight_batch(*rows)).messages,
        *packed_samples(samples).messages,
        *ndjson_text.messages(weight_batch(*rows), 1 << 20),
        *ndjson_text.messages(samples, 1 << 20),
    ]


def _check_rows(inputs: Sequence[bytes]) -> None:
    for message in inputs:
        for schema in (contracts.WEIGHTS, SAMPLES):
            try:
                found = read_batch(message, ANYWHERE, schema)
            except MessageError as error:
                assert str(error).isprintable()
                continue
            assert found.nbytes < 1 << 28
            statements_of(found)
            found.to_pylist()
            if schema is contracts.WEIGHTS:
                list(weight_rows(found))
                continue
            with suppress(SampleError):
                from_table(pa.Table.from_batches([found]))


# -- announcements and manifests: a ValueError and nothing has changed, or a record that fits


def _announcements() -> Seeds:
    announcement = Announcement(
        n=1, version=made_manifest().version, offsets={0: 5, 1: 7}, reason="publish", created_at_ms=1
    )
    return [announcement_key(NET, 1) + b"\n" + encode(announcement), _adopted()]


def _adopted() -> bytes:
    return b'net/adopted/0/1\n{"n":1,"version":"builtin","partition":0,"offset":150}'


def _check_announcements(inputs: Sequence[bytes]) -> None:
    for text in inputs:
        key, _, value = text.partition(b"\n")
        registry = empty_registry()
        try:
            take_in(registry, key, value)
        except ValueError:
            assert all(
                not (registered.announcements or registered.adopted or registered.manifests)
                for registered in registry.values()
            )
        for registered in registry.values():
            _metrics().set_announced(registered.model, registered.newest, 0)
            for adoption in registered.adoptions(0):
                assert 0 <= adoption.offset < 1 << 63
                assert adoption.version.isalnum()


@cache
def _metrics() -> Metrics:
    return Metrics(Settings())


def _manifests() -> Seeds:
    return [made_manifest().to_json().encode(), made_version()[1].to_json().encode()]


def _check_manifests(inputs: Sequence[bytes]) -> None:
    for text in inputs:
        try:
            found = Manifest.from_json(text)
        except ManifestError:
            continue
        assert Manifest.from_json(found.to_json().encode()) == found
        take_in(empty_registry(), manifest_key(found.model, found.version), found.to_json().encode())


# -- entities


def _entities() -> Seeds:
    state = statements.EntityState(3, 1.5, 0.5, 2.5, 0, 17, "builtin")
    return [b"\n".join(statements.encode(kind, b"4#2", 0, state)) for kind in ("user", "item", "category")]


def _check_entities(inputs: Sequence[bytes]) -> None:
    for text in inputs:
        key, _, value = text.partition(b"\n")
        table = EntityTable()
        try:
            table.apply(key, value)
        except ValueError:
            assert len(table) == 0
        for entity in table:
            assert entity.shards == 1


# -- recommendations


def _recommendations() -> Seeds:
    made = statements.Recommendations("ann", ["4", "2\u00e9"], 1_700_000_000_000, 0, 17, 1)
    return [b"\n".join(statements.encode_recommendations(made))]


def _check_recommendations(inputs: Sequence[bytes]) -> None:
    for text in inputs:
        key, _, value = text.partition(b"\n")
        table = RecommendationTable()
        try:
            table.apply(key, value, 0)
        except ValueError:
            assert len(table) == 0
        for made in table:
            assert table.get(made.user_id) == made.items


# -- checkpoints


def _checkpoints() -> Seeds:
    made = checkpoints.CheckpointManifest(
        code_version="0.1.0",
        fingerprint="f" * 64,
        group="sie",
        topic="sie.events",
        partition=0,
        input_partitions=4,
        epoch=3,
        highest_generation=3,
        next_offset=1_000,
        meta=checkpoints.encode_meta({"nth": 1, "net": {"announced": 1}}),
        packs={"3-1000.pack": 10},
        pieces={"users": checkpoints.Piece("3-1000.pack", 0, 10, "a" * 64)},
    )
    sealed = checkpoints.encode(made)
    return [sealed, msgspec.json.encode(made)]


def _check_checkpoints(inputs: Sequence[bytes]) -> None:
    """As they lie in the store, and as a body whose digest fits."""
    for text in inputs:
        digest = hashlib.sha256(text).hexdigest().encode()
        for data in (text, b'{"sha256":"' + digest + b'","body":' + text + b"}"):
            with suppress(CheckpointError, DecisionError):
                checkpoints.decode(data)


# -- artifacts: an ArtifactError, or tensors that can be scored with


def _artifacts() -> Seeds:
    gains = [
        Gains(*(Gain(np.array(rows, np.int32), np.ones((len(rows), *TABLES[name].shape[1:]), np.float32))
                for name in TABLES), neighbourhoods({"a": 2, "b": 1}, {("a", "b"): 1}))
        for rows in ([0, 3], [1, 2, 7])
    ]  # fmt: skip
    noise = random_noise()
    return [
        made_version()[0],
        safetensors_numpy.save(tensors_of(dict(enumerate(gains)))),
        encode_noise(noise, random_canary(noise, rows=4)).data,
    ]


def _check_artifacts(inputs: Sequence[bytes]) -> None:
    for data in inputs:
        for use in (net_of, noise_of, lambda tensors: parts_of(tensors, TABLES)):
            with suppress(ArtifactError), np.errstate(all="ignore"):
                tensors = tensors_in(data)
                if all(np.isfinite(array).all() for array in tensors.values()):
                    use(tensors)


def header(rng: random.Random, data: bytes) -> bytes:
    """The JSON header of a safetensors file changed, and its length made right."""
    size = int.from_bytes(data[:8], "little")
    text = token(rng, data[8 : 8 + size])
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


TARGETS: dict[str, Target] = {
    "events": Target(_events, _check_events, TEXT, lot=64),
    "batches": Target(_batches, _check_batches, BINARY),
    "rows": Target(_rows, _check_rows, BINARY),
    "announcements": Target(_announcements, _check_announcements, TEXT),
    "manifests": Target(_manifests, _check_manifests, TEXT),
    "entities": Target(_entities, _check_entities, TEXT),
    "recommendations": Target(_recommendations, _check_recommendations, TEXT),
    "checkpoints": Target(_checkpoints, _check_checkpoints, TEXT),
    "artifacts": Target(_artifacts, _check_artifacts, (*BINARY, header, header, header)),
}
