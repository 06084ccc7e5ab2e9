"""Weights for training samples, estimated while the events flow.

A training job needs the names in ``__all__`` only; each is imported when it is first used (PEP 562), so that importing
the package, its contracts or the client brings in nothing heavy. The rooms, from the top, each importing only those
below it; all but ``client`` is free of clocks and sockets:

- ``evaluation``: a file through shards, without a broker; ``simulator``: a stream whose truth is known
- ``examples``: what a training job does with weights; ``client``: what a subscriber installs
- ``shard``: everything learned from one partition, and the event loop over it
- ``behaviours``: random ones, polluting and innocent, mixed into a log
- ``importance``: the factors of a weight; ``recommender``: who will buy; ``features``: what it knows of an event
- ``ranking``: what a user would like next
- ``ingest``: from bytes to valid events
- ``contracts``: topics in Arrow (``packing``, ``unpacking``, ``ipc``, ``tables``), and as JSON lines (``ndjson``,
  ``ndjson_text``); ``content``: headers that say which
- ``statements``, ``announcements``: topics in JSON; ``schemas``: of all topics
- ``settings``: every setting, once (the net's: ``hyperparameters``); ``errors``: every error, with its exit code
- helpers: ``jit``, ``linkage`` and ``processor`` (how kernels are compiled, and for what), ``kernel_cache`` (where they
  are kept), and for kernels ``elementary`` (exp, log, …), ``layers`` (of small nets), ``prefetch``, ``masks``,
  ``hashing``, ``slots`` (bounded tables) and their ``memory``; ``text_hashes`` (hashes without kernels); ``metrics``;
  ``pseudonyms``, ``escape``; ``moments``;
  ``plugins`` (classes that settings name)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sie_online.client.connection import connection
    from sie_online.client.entities import Entity, EntityReader
    from sie_online.client.entities import Name as EntityName
    from sie_online.client.recommendations import RecommendationReader, Recommended
    from sie_online.client.rows import WeightRow
    from sie_online.client.subsample import Subsampler, subsample
    from sie_online.client.subscriber import SampleSubscriber, WeightSubscriber
    from sie_online.errors import SieError
    from sie_online.settings import Settings
    from sie_online.settings import load as load_settings

    __version__: str

__all__ = [
    "Entity",
    "EntityName",
    "EntityReader",
    "RecommendationReader",
    "Recommended",
    "SampleSubscriber",
    "Settings",
    "SieError",
    "Subsampler",
    "WeightRow",
    "WeightSubscriber",
    "__version__",
    "connection",
    "load_settings",
    "subsample",
]

_HOMES = {
    "Entity": ("sie_online.client.entities", "Entity"),
    "EntityName": ("sie_online.client.entities", "Name"),
    "EntityReader": ("sie_online.client.entities", "EntityReader"),
    "RecommendationReader": ("sie_online.client.recommendations", "RecommendationReader"),
    "Recommended": ("sie_online.client.recommendations", "Recommended"),
    "SampleSubscriber": ("sie_online.client.subscriber", "SampleSubscriber"),
    "Settings": ("sie_online.settings", "Settings"),
    "SieError": ("sie_online.errors", "SieError"),
    "Subsampler": ("sie_online.client.subsample", "Subsampler"),
    "WeightRow": ("sie_online.client.rows", "WeightRow"),
    "WeightSubscriber": ("sie_online.client.subscriber", "WeightSubscriber"),
    "__version__": ("sie_online.contracts", "CODE_VERSION"),
    "connection": ("sie_online.client.connection", "connection"),
    "load_settings": ("sie_online.settings", "load"),
    "subsample": ("sie_online.client.subsample", "subsample"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
