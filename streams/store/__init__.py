"""The object store under checkpoints and models: small named objects, durable once written. Knows nothing of either.

- ``port``: what a store must offer (``Store``), and what it is given (``Part``)
- ``local``: a folder on a disk (``LocalStore``)
- ``bucket``: a bucket of S3, Google Cloud Storage or Azure (``BucketStore``); ``failures``: what it says, in a sentence
- ``registry``: the kinds there are, by the scheme of a URL; ``open_store`` gives the one that a URL names
- ``probe``: whether the store answers, may be written, and lets one of two rivals create
"""

from streams.store.bucket import BucketStore
from streams.store.local import LocalStore
from streams.store.port import TEMPORARY, Part, Store
from streams.store.registry import STORES, open_store

__all__ = ["STORES", "TEMPORARY", "BucketStore", "LocalStore", "Part", "Store", "open_store"]
