"""``sie.models.v1`` written by others: what cannot be read changes nothing, and what can be fits where it goes."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from models.errors import ArtifactError, ManifestError
from models.manifest import Manifest
from models.snapshot import tensors_in
from sie_online.announcements import (
    NET,
    VALUE_BYTES,
    Announcement,
    adopted_key,
    announcement_key,
    current_key,
    encode,
    manifest_key,
)
from sie_online.settings import Settings
from streams.model_registry import artifacts
from streams.model_registry.reader import RegistryReader
from streams.model_registry.registry import empty_registry, take_in
from streams.observe.metrics import Metrics
from streams.store import LocalStore
from tests.support.samples import made_manifest

BRACKETS = b"[" * 200_000
INT64 = (1 << 63) - 1
VERSION = made_manifest().version
SAID = json.loads(encode(Announcement(n=1, version=VERSION, offsets={0: 5}, reason="publish", created_at_ms=1)))
MANIFEST = json.loads(made_manifest().to_json())


def said(**changes: Any) -> bytes:
    return json.dumps(SAID | changes).encode()


def manifest(**changes: Any) -> bytes:
    return json.dumps(MANIFEST | changes).encode()


HOSTILE: dict[str, tuple[bytes, bytes]] = {
    "a number of 401 digits": (announcement_key(NET, 10**400), said(n=10**400)),
    "a number beyond int64": (announcement_key(NET, INT64 + 1), said(n=INT64 + 1)),
    "number 0": (announcement_key(NET, 0), said(n=0)),
    "another number than its key's": (announcement_key(NET, 2), said()),
    "a number with zeros before it": (b"net/announcement/01", said()),
    "an offset beyond int64": (announcement_key(NET, 1), said(offsets={"0": INT64 + 1})),
    "a negative offset": (announcement_key(NET, 1), said(offsets={"0": -1})),
    "a partition beyond int32": (announcement_key(NET, 1), said(offsets={str(1 << 31): 0})),
    "a version that is a path": (announcement_key(NET, 1), said(version="../../etc/x")),
    "a version that steers a terminal": (announcement_key(NET, 1), said(version="\x1b[2J")),
    "a version with a line end": (announcement_key(NET, 1), said(version="builtin\n")),
    "a time of 401 digits": (announcement_key(NET, 1), said(created_at_ms=10**400)),
    "brackets": (announcement_key(NET, 1), BRACKETS),
    "brackets in a field unknown yet": (
        announcement_key(NET, 1),
        said()[:-1] + b',"new":' + BRACKETS + b"]" * 200_000 + b"}",
    ),
    "a megabyte": (announcement_key(NET, 1), said() + b" " * VALUE_BYTES),
    "no JSON": (announcement_key(NET, 1), b"\xff"),
    "a key that is no text": (b"net/\xff", manifest()),
    "a manifest of brackets": (manifest_key(NET, VERSION), BRACKETS),
    "a manifest of a megabyte": (manifest_key(NET, VERSION), manifest() + b" " * (1 << 20)),
    "a manifest of another version": (manifest_key(NET, VERSION[:-1] + "0"), manifest()),
    "a manifest of another model": (manifest_key("priors", VERSION), manifest()),
    "an adoption of another partition": (adopted_key(NET, 1, 1), b'{"n":1,"version":"A","partition":0,"offset":1}'),
    "an adoption before the log": (adopted_key(NET, 0, 1), b'{"n":1,"version":"A","partition":0,"offset":-1}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_cannot_be_read_is_counted_and_changes_nothing(
    name: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reader = RegistryReader(settings())
    key, value = HOSTILE[name]
    record = SimpleNamespace(topic="sie.models.v1", partition=0, offset=7, key=key, value=value)
    found = list(reader.unreadable.readable([record, record], reader._apply))
    assert (found, reader.unreadable.count) == ([], 2)
    for registered in reader.registry.values():
        assert (registered.manifests, registered.announcements, registered.adopted) == ({}, {}, {})
    (told,) = caplog.messages
    assert "sie.models.v1, partition 0, offset 7" in told
    assert told.isprintable()
    assert len(told) < 500


def test_what_surrounds_an_unreadable_record_holds() -> None:
    registry = empty_registry()
    take_in(registry, manifest_key(NET, VERSION), manifest())
    for key, value in HOSTILE.values():
        with pytest.raises(ValueError, match=r".+"):
            take_in(registry, key, value)
    take_in(registry, announcement_key(NET, 1), said(invented_later=[1]))
    take_in(registry, current_key(NET), b"1")
    take_in(registry, b"net/invented/later", BRACKETS)
    registered = registry[NET]
    assert (registered.newest, registered.in_force(1), set(registered.manifests)) == (1, VERSION, {VERSION})


def test_the_largest_numbers_are_read_and_told_to_prometheus() -> None:
    registry = empty_registry()
    take_in(registry, announcement_key(NET, INT64), said(n=INT64, offsets={"0": INT64}))
    (adoption,) = registry[NET].adoptions(0)
    assert (adoption.n, adoption.offset) == (INT64, INT64)
    Metrics(Settings()).set_announced(NET, adoption.n, INT64)


def test_unreadable_records_are_a_metric() -> None:
    metrics = Metrics(Settings())
    metrics.count_unreadable_models(lambda: 3)
    assert metrics.registry.get_sample_value("sie_model_records_unreadable_total") == 3


@pytest.mark.parametrize(
    "change",
    [
        {"created_at_ms": 10**400},
        {"bytes": 1 << 50},
        {"mean_f": 10**400},
        {"metrics": {"nll": 10**400}},
        {"train_offsets": {"0": [0, 1 << 63]}},
        {"tensors": [{"name": "a", "dtype": "float32", "shape": [1 << 63]}]},
        {"code_version": "\ud800"},
        {"metrics": {"nll": float("nan")}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_beyond_all_bounds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ManifestError) as refused:
        Manifest.from_json(manifest(**change))
    assert len(str(refused.value)) < 300


def test_an_artifact_is_not_read_beyond_what_its_manifest_says(tmp_path: Any) -> None:
    store = LocalStore(tmp_path)
    small = replace(made_manifest(), uri=artifacts.artifact_name(VERSION), size=10)
    file = tmp_path / small.uri
    file.parent.mkdir(parents=True)
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)  # a terabyte that takes no room
    with pytest.raises(ArtifactError, match="11 bytes"):
        artifacts.tensors(store, small)


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, (1 << 62).to_bytes(8, "little"), b"\x02" + b"\0" * 7 + b"[]"])
def test_bytes_that_are_no_artifact_are_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match="no safetensors file"):
        tensors_in(data)
