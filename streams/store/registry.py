"""The stores there are, by the scheme of their URLs. A new one is its module and one line in ``STORES``."""

from __future__ import annotations

from collections.abc import Callable

from sie_online.errors import UsageError
from streams.store import bucket, local
from streams.store.bucket import open_bucket
from streams.store.local import open_local
from streams.store.port import Store

STORES: dict[str, Callable[[str], Store]] = {
    "file": open_local,
    "s3": open_bucket,
    "gs": open_bucket,
    "az": open_bucket,
}
"""What opens the store of a URL, by its scheme. Opening touches nothing yet; it may raise ``UsageError``."""


def open_store(url: str) -> Store:
    """The store of ``url``.

    Raises:
        UsageError: there is no such kind of store, or the rest of the URL is none of its kind's.
    """
    scheme, colon, _ = url.partition("://")
    if not colon or scheme not in STORES:
        known = ", ".join(f"{each}://" for each in sorted(STORES))
        raise UsageError(f"store {url!r} is of a kind that is not supported: there are {known}; write {HOW_TO_WRITE}")
    return STORES[scheme](url)


HOW_TO_WRITE = f"{local.HOW_TO_WRITE}, {bucket.HOW_TO_WRITE}"
