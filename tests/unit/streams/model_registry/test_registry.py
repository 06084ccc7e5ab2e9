"""Artifacts in a store, what may be deleted, and where a rollback goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import ArtifactError, ManifestError
from sie_online.announcements import Adopted, Announcement, RegisteredModel, adopted_key, announcement_key, encode
from sie_online.errors import DecisionError, UnreachableError
from streams.model_registry import artifacts
from streams.model_registry.announcer import rollback_target
from streams.model_registry.event_log import Growth
from streams.model_registry.retention import needed, superfluous
from streams.store import LocalStore
from tests.support.versions import made_version, new_version

DAY_MS = 86_400_000


def registered_with(*versions: str, offset: int = 100, **adopted: Any) -> RegisteredModel:
    """Announcement n is made on day n and applies from n x ``offset`` in partition 0."""
    registered = RegisteredModel()
    for n, version in enumerate(versions, 1):
        announcement = Announcement(
            n=n, version=version, offsets={0: n * offset}, reason="publish", created_at_ms=n * DAY_MS
        )
        registered.apply(announcement_key("net", n), encode(announcement))
    return registered


def test_what_was_kept_is_loaded(tmp_path: Path) -> None:
    data, manifest = made_version()
    store = LocalStore(tmp_path)
    artifacts.keep(store, data, manifest)
    assert artifacts.load(store, manifest).w1.shape == artifacts.load(store, manifest).w1.shape
    assert artifacts.read_manifest(store, manifest.version) == manifest
    assert artifacts.stored(store) == [manifest.version]


def test_a_corrupt_artifact_is_refused(tmp_path: Path) -> None:
    data, manifest = made_version()
    store = LocalStore(tmp_path)
    artifacts.keep(store, data, manifest)
    file = tmp_path / manifest.uri
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="SHA-256"):
        artifacts.load(store, manifest)
    file.write_bytes(data[:-7])
    with pytest.raises(ArtifactError, match="bytes, its manifest says"):
        artifacts.load(store, manifest)


def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    _, manifest = made_version(uri="../../etc/passwd")
    with pytest.raises(ArtifactError, match="no place of ours"):
        artifacts.load(LocalStore(tmp_path), manifest)


def test_a_manifest_under_anothers_name_is_refused(tmp_path: Path) -> None:
    data, manifest = made_version()
    store, other = LocalStore(tmp_path), new_version()
    artifacts.keep(store, data, manifest)
    (tmp_path / artifacts.manifest_name(other)).write_text(manifest.to_json())
    with pytest.raises(ManifestError, match=manifest.version):
        artifacts.read_manifest(store, other)


def test_a_full_disk_leaves_no_half_of_a_version(tmp_path: Path) -> None:
    class FullStore(LocalStore):
        def _rename(self, temporary: Path, target: Path) -> None:
            if target.suffix == ".json":
                raise OSError(28, "No space left on device")
            super()._rename(temporary, target)

    data, manifest = made_version()
    with pytest.raises(UnreachableError, match="No space"):
        artifacts.keep(FullStore(tmp_path), data, manifest)
    assert list((tmp_path / artifacts.folder("net")).iterdir()) == []


def test_before_any_announcement_nothing_is_needed() -> None:
    # partition 1 is not named: from its start
    assert needed(RegisteredModel(), {0: 5}, since_ms=0) == set()


def test_versions_stay_while_the_log_holds_their_rows() -> None:
    registered = registered_with("A", "B", "C")
    assert needed(registered, {0: 0}, since_ms=9 * DAY_MS) == {"A", "B", "C"}
    assert needed(registered, {0: 199}, since_ms=9 * DAY_MS) == {"A", "B", "C"}
    assert needed(registered, {0: 200}, since_ms=9 * DAY_MS) == {"B", "C"}
    assert needed(registered, {0: 999}, since_ms=9 * DAY_MS) == {"C"}


def test_versions_stay_where_one_partition_still_needs_them() -> None:
    assert needed(registered_with("A", "B"), {0: 999, 1: 0}, since_ms=9 * DAY_MS) == {"B"}
    late = registered_with("A", "B")
    late.apply(adopted_key("net", 1, 2), encode(Adopted(n=2, version="B", partition=1, offset=7)))
    assert needed(late, {0: 999, 1: 0}, since_ms=9 * DAY_MS) == {"A", "B"}


def test_versions_stay_for_as_long_as_a_late_adoption_may_be_unknown() -> None:
    registered = registered_with("A", "B", "C")
    assert needed(registered, {0: 999}, since_ms=2 * DAY_MS) == {"A", "B", "C"}
    assert needed(registered, {0: 999}, since_ms=2 * DAY_MS + 1) == {"B", "C"}


def test_the_newest_stay_whether_announced_or_not() -> None:
    registered = registered_with("A", "B", "C", "D")
    stored = ["A", "B", "C", "D", "R1", "R2", "R3"]
    rule = {"now_ms": 99 * DAY_MS, "retention_ms": DAY_MS}
    assert superfluous(registered, stored, {0: 999}, keep=1, **rule) == ["A", "B", "R1", "R2"]
    assert superfluous(registered, stored, {0: 999}, keep=2, **rule) == ["A", "R1"]
    assert superfluous(registered, stored, {0: 999}, keep=9, **rule) == []


def test_a_rollback_goes_to_what_was_there_before_the_version_in_force() -> None:
    assert rollback_target(registered_with("A", "B")) == "A"
    assert rollback_target(registered_with("A")) == "builtin"
    assert rollback_target(registered_with("A", "B", "A")) == "builtin"  # back once already: farther
    assert rollback_target(registered_with("A", "B", "A", "C")) == "A"
    for registered in (registered_with(), registered_with("A", "builtin")):
        with pytest.raises(DecisionError, match="nothing to roll back"):
            rollback_target(registered)


def test_a_version_applies_at_least_one_record_ahead() -> None:
    assert Growth(first=0, end=10, ahead=0).applies_from == 11
    assert Growth(first=0, end=10, ahead=500).applies_from == 510
