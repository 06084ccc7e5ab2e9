"""Which files are the table: the newest manifest's, whatever else lies about."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from sie_online.client.lakes import manifest_files, manifest_name, newest_manifest, read_manifest
from sie_online.errors import UnreachableError, UsageError
from tests.support.buckets import Network, always, refused
from tests.support.lakes import place, replayed_topic, sink


def test_a_later_epoch_counts_for_more_and_what_is_no_manifest_for_nothing() -> None:
    names = [manifest_name(1, 12), manifest_name(2, 0), manifest_name(1, 3), manifest_name(9, 9) + ".tmp", "a.json"]
    assert newest_manifest(names) == manifest_name(2, 0)
    assert newest_manifest(["a.json"]) is None


def test_files_are_paths_that_are_there(tmp_path: Path) -> None:
    url = (tmp_path / "a lake").as_uri()
    sink(place("parquet", url).table("weights"), replayed_topic())
    litter = tmp_path / "a lake/weights/day=2023-11-14/hour=22/litter.parquet"
    litter.write_bytes(b"")
    files = manifest_files(f"{url}/weights/")
    assert files
    assert all(Path(file).is_file() for file in files)
    assert str(litter) not in files
    assert manifest_files(unquote(f"{url}/weights").removeprefix("file://")) == files, "a path will do"
    assert read_manifest(f"{url}/weights")["columns"]["weight"] == "double"


def test_a_place_without_a_table_is_said_so(tmp_path: Path, network: Network) -> None:
    with pytest.raises(UsageError, match="holds no table"):
        manifest_files(tmp_path.as_uri())
    with pytest.raises(UsageError, match="no place of a lake"):
        manifest_files("nowhere")
    with (
        network.befallen(always(refused(403, "AccessDenied"))),
        pytest.raises(UnreachableError, match="cannot be read"),
    ):
        manifest_files("s3://a-bucket/weights")
