"""The store in a bucket: of S3 and what speaks its protocol, of Google Cloud Storage, of Azure; through ``obstore``.

What it leans on: those services answer with what was written last, whoever asks (strong consistency); an object is
there whole or not at all; and a conditional put (``If-None-Match: *``) succeeds for one of any number of rivals.
``probe`` finds out a service that ignores the condition.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from sie_online.errors import UnreachableError, UsageError
from streams.store.failures import in_short, is_missing_bucket, is_out_of_range, may_have_happened, sentence
from streams.store.port import Part, Store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRIED_S = 15.0
"""A request that fails is tried again for so long: far less than any limit of ``settings.watchdog``."""
REQUEST_S = 30.0
"""One request, whatever it transfers: 64 MB of a restore at 2 MB/s."""
STALLED_S = 10.0
"""Nothing arrives for so long: it is tried again. (A part of an upload must be through by then: 0.8 MB/s.)"""
CONNECT_S = 3.0

PART_BYTES = 8 << 20
"""Larger objects are written in such parts, so that none is too slow to be tried again."""
PARTS_AT_ONCE = 4
READ_BYTES = 1 << 20

ATTEMPT = "attempt"
"""Metadata of a created object: whose it is. Letters alone, as Azure's must be."""

PROVIDERS = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""By scheme: how the names of what they take from the environment begin."""

BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
HOW_TO_WRITE = "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"


class BucketStore(Store):
    """Objects below ``url``, whose credentials and endpoint are the environment's.

    Every operation ends within ``RETRIED_S`` + ``REQUEST_S`` for each request it is made of: one, as a rule; of ``put``
    one for every ``PART_BYTES`` and one to read back; of ``create``, where no answer came, one more to look.
    """

    def __init__(self, bucket: ObjectStore, url: str) -> None:
        self._bucket = bucket
        self._url = url.rstrip("/")

    def create(self, name: str, data: bytes) -> bool:
        # An answer may be lost after the object was made, and the next attempt then be refused by our own object. So
        # each call marks what it makes, and whoever is refused looks whose it is.
        attempt, until = secrets.token_hex(8), time.monotonic() + RETRIED_S
        while True:
            try:
                obstore.put(self._bucket, name, data, attributes={ATTEMPT: attempt}, mode="create", use_multipart=False)
            except AlreadyExistsError as error:
                failure: Exception = error
            except (BaseError, OSError) as error:
                if not may_have_happened(error):
                    raise self._failure(name, error) from error
                failure = error
            else:
                return True
            maker = self._maker(name)
            if maker is not None:
                return maker == attempt
            if time.monotonic() > until:  # neither made by us nor by anybody
                raise self._failure(name, failure) from failure

    def put(self, name: str, parts: Sequence[Part]) -> None:
        size = sum(len(part.data) for part in parts)
        with self._reaching(name):
            obstore.put(
                self._bucket,
                name,
                [part.data for part in parts],
                use_multipart=size > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
            self._verify(name, parts)

    def read(self, name: str, most: int = -1, start: int = 0) -> bytes:
        options: obstore.GetOptions = {}
        if most >= 0:
            options = {"range": (start, start + max(most, 1))}  # of no bytes, there is no range
        elif start:
            options = {"range": {"offset": start}}
        try:
            return bytes(obstore.get(self._bucket, name, options=options).bytes())[: None if most < 0 else most]
        except (BaseError, OSError) as error:
            if is_out_of_range(error):
                return b""
            if isinstance(error, FileNotFoundError) and not is_missing_bucket(error):
                raise FileNotFoundError(f"{self._url}/{name} is not there") from None
            raise self._failure(name, error) from error

    def list(self, folder: str) -> Sequence[str]:
        with self._reaching(folder):
            found = obstore.list_with_delimiter(self._bucket, folder or None)
        paths = [*(each["path"] for each in found["objects"]), *found["common_prefixes"]]
        return [path.rpartition("/")[2] for path in paths]

    def delete(self, name: str) -> None:
        with self._reaching(name):
            try:
                obstore.delete(self._bucket, name)
            except FileNotFoundError as error:
                if is_missing_bucket(error):
                    raise

    def _maker(self, name: str) -> str | None:
        """The attempt that created ``name``, empty if that is not known; None where there is no such object."""
        try:
            return obstore.get(self._bucket, name).attributes.get(ATTEMPT, "")
        except (BaseError, OSError) as error:
            if isinstance(error, FileNotFoundError) and not is_missing_bucket(error):
                return None
            raise self._failure(name, error) from error

    def _verify(self, name: str, parts: Sequence[Part]) -> None:
        """Read ``parts`` back, bit by bit: memory for the whole of a large one costs more than to read it."""
        stream = obstore.get(self._bucket, name).stream(min_chunk_size=READ_BYTES)
        chunks, chunk = (memoryview(each) for each in stream), memoryview(b"")
        for part in parts:
            digest, left = hashlib.sha256(), len(part.data)
            while left and (chunk := chunk or next(chunks, memoryview(b""))):
                digest.update(chunk[:left])
                left, chunk = left - len(chunk[:left]), chunk[left:]
            if digest.hexdigest() != part.sha256:
                raise UnreachableError(
                    f"{self._url}/{name} does not hold what was written: the store cannot be trusted"
                )

    @contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        """What the service cannot do, as the one error by which every process knows that its store has failed."""
        try:
            yield
        except (BaseError, OSError) as error:
            raise self._failure(name, error) from error

    def _failure(self, name: str, error: BaseException) -> UnreachableError:
        return UnreachableError(sentence(self._url, name, error))


def open_bucket(url: str) -> BucketStore:
    """The store of ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``.

    Raises:
        UsageError: it is written otherwise, or the environment lacks what its kind needs.
    """
    given = urlsplit(url)
    folders = unquote(given.path).strip("/").split("/")
    if given.query or given.fragment or not BUCKET.fullmatch(given.netloc) or {".", ".."} & set(folders):
        named = url.replace(given.netloc, "...") if "@" in given.netloc else url  # it may be a key
        raise UsageError(
            f"store {named!r} is none of the form {HOW_TO_WRITE}: keys, regions and endpoints are the environment's"
            " (docs/stores.md)"
        )
    try:
        return BucketStore(_connected(given.scheme, url), url)
    except (BaseError, OSError, ValueError) as error:
        raise UsageError(f"store {url!r} cannot be opened: {in_short(error)} (docs/stores.md)") from None


def _connected(scheme: str, url: str) -> ObjectStore:
    config: Any = {"disable_bulk_delete": True} if scheme == "s3" else {}  # one name at a time, which all of them know
    return from_url(
        url,
        config=config,
        client_options={
            "allow_http": os.environ.get(f"{PROVIDERS[scheme]}_ALLOW_HTTP", "").lower() in ("1", "true", "yes"),
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "read_timeout": timedelta(seconds=STALLED_S),
            "timeout": timedelta(seconds=REQUEST_S),
        },
        retry_config={
            "retry_timeout": timedelta(seconds=RETRIED_S),
            "backoff": {"max_backoff": timedelta(seconds=2)},
        },
    )
