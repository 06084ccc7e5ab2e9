"""Which files are the table: the newest manifest's, whatever else lies about."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.fs as pafs
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


def test_azure_is_reached_with_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink(place("parquet", tmp_path.as_uri()).table("weights"), replayed_topic())
    asked = []

    def opened(account: str, **options: str | None) -> Any:
        asked.append((account, {name: option for name, option in options.items() if option}))
        return pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())

    monkeypatch.setattr(pafs, "AzureFileSystem", opened)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(UsageError, match="AZURE_STORAGE_ACCOUNT_NAME is not set"):
        manifest_files("az://weights")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=1")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "https://shop.blob.example.com")
    assert all(file.startswith("az://weights/day=") for file in manifest_files("az://weights"))
    places = {f"{kind}_storage_authority": f".{kind}.example.com" for kind in ("blob", "dfs")}
    schemes = {f"{kind}_storage_scheme": "https" for kind in ("blob", "dfs")}
    assert asked == [("shop", {"sas_token": "sig=1"} | places | schemes)]


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
