"""Reading the Parquet lake that ``sie sink`` writes: which files make up the table now.

Owns the names within a table's folder, which the sink shares; imports pyarrow and nothing else of weight. A folder may
hold files that are no part of the table (one that is being written, one that a compaction has replaced), so that a
reader takes the files of the newest manifest and none by a pattern.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from sie_online.errors import UnreachableError, UsageError

MANIFESTS = "_manifests"
"""The folder of manifests. Readers that take every file below a folder pass over names with an underscore."""

LATEST = "_latest.json"
"""A copy of the newest manifest under a name that never changes, for readers that cannot list a folder."""

MANIFEST_NAME = re.compile(r"(\d{10})-(\d{10})\.json")
"""The epoch of the sink that wrote it, and its number: both rise, and the highest is the newest."""

TRIES = 3


def manifest_name(epoch: int, number: int) -> str:
    """The name of a manifest, within ``MANIFESTS``; names sort as they were written."""
    return f"{epoch:010d}-{number:010d}.json"


def newest_manifest(names: Any) -> str | None:
    """The newest of ``names``, passing over what is no manifest; None where there is none."""
    return max(filter(MANIFEST_NAME.fullmatch, names), default=None)


def manifest_files(url: str) -> list[str]:
    """The Parquet files of the table at ``url``, which is what ``sie sink`` was given and the stream behind it.

    They are paths on a local disk, URLs elsewhere: what DuckDB's ``read_parquet``, Polars' ``scan_parquet`` and Spark's
    ``read.parquet`` take. Files that a compaction replaces stay for an hour, so ask again for each query.

    Example::

        files = manifest_files("file:///data/lake/weights")
        duckdb.execute("SELECT count(*) FROM read_parquet($files, union_by_name = true)", {"files": files})

    Raises:
        UsageError: no sink has written there yet.
        UnreachableError: the place does not answer.
    """
    prefix = url.rstrip("/") if not url.startswith("file:") else _opened(url)[1]
    return [f"{prefix}/{each['path']}" for each in read_manifest(url)["files"]]


def read_manifest(url: str) -> dict[str, Any]:
    """The newest manifest of the table at ``url``: its ``files`` (path, rows, bytes), ``columns`` and ``marks``.

    Raises:
        UsageError, UnreachableError: as ``manifest_files``.
    """
    system, path = _opened(url)
    try:
        for _ in range(TRIES):  # between the two, the sink may have put it away for a newer one
            found = system.get_file_info(pafs.FileSelector(f"{path}/{MANIFESTS}", allow_not_found=True))
            name = newest_manifest(each.base_name for each in found)
            if name is None:
                raise UsageError(f"{url} holds no table of 'sie sink': name the folder of one stream, as …/weights")
            try:
                with system.open_input_stream(f"{path}/{MANIFESTS}/{name}") as file:
                    document: dict[str, Any] = json.loads(file.read())
            except FileNotFoundError:
                continue
            return document
    except OSError as error:
        raise UnreachableError(f"{url} cannot be read: {error}") from error
    raise UnreachableError(f"{url}: each manifest went as it was being read")


def _opened(url: str) -> tuple[Any, str]:
    try:
        system, path = _azure(url) if url.startswith("az://") else pafs.FileSystem.from_uri(url)
    except (ValueError, OSError) as error:
        raise UsageError(f"{url!r} is no place of a lake: {error}; write file:///data/lake/weights") from None
    return system, path.rstrip("/")


def _azure(url: str) -> tuple[Any, str]:
    """Arrow knows Azure by URLs of another kind; here it is reached as stores are, with what the environment says."""
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise ValueError("AZURE_STORAGE_ACCOUNT_NAME is not set")
    key, token = map(os.environ.get, ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"))
    options = {"account_key": key, "sas_token": None if key else token}
    endpoint = urlsplit(os.environ.get("AZURE_STORAGE_ENDPOINT", ""))
    if endpoint.netloc:  # Arrow wants it without the account
        blobs = endpoint.netloc.removeprefix(account)
        options |= {"blob_storage_authority": blobs, "dfs_storage_authority": blobs.replace(".blob.", ".dfs.", 1)}
        options |= {"blob_storage_scheme": endpoint.scheme, "dfs_storage_scheme": endpoint.scheme}
    files: Any = pafs  # the stubs lag behind
    return files.AzureFileSystem(account, **options), url.removeprefix("az://")
