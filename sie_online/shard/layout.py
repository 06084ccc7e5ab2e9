"""What the bytes of a saved state mean: the layout that a checkpoint names, and whether this code can read it.

Owns the digests: of every array's records (names, types, places, sizes), of the features, and of what no setting
changes: the hyper-parameters that are compiled into the kernels, and the noise model that is part of the package. What
to do where they differ is a decision, and not made here.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online import jit
from sie_online.features import FeatureConfig, schema_hash
from sie_online.importance.noise import NoiseConfig
from sie_online.importance.noise.model import default_noise
from sie_online.recommender.kernels import RecommenderConfig
from sie_online.settings import Settings
from sie_online.shard.snapshot import slot_tables, small_arrays
from sie_online.shard.state import State, new_state, new_views

DIGITS = 16
"""Hexadecimal digits of a digest: chance alone makes two layouts meet in one of 10^19 cases."""

PIECES = "patches"
"""How arrays are cut into pieces (`sie_online.shard.patches`)."""

RANGES = "ranges with overlays"
"""How open views are (`sie_online.shard.ranges`)."""

LEARNED_WITH = ("features", "importance", "recommender", "shard/clock")
"""Modules and packages whose constants are hyper-parameters: what is learned with others goes on differently."""


class Layout(msgspec.Struct, frozen=True):
    """The layout of a shard's state.

    Attributes:
        records: digest of the records of each array, by the array's name.
        sizes: number of records of each array of a fixed size, and of slots of each table of entities.
        features: digest of the features' meaning.
        parameters: digest of the hyper-parameters that no setting changes, and of the default noise model.
    """

    records: dict[str, str] = {}
    sizes: dict[str, int] = {}
    features: str = ""
    parameters: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Layout:
        """What this code writes and reads under ``settings``."""
        return layout_of(new_state(settings, new_views(settings).views))

    @classmethod
    def named_by(cls, meta: Mapping[str, Any]) -> Layout:
        """What a snapshot's ``meta`` says; an empty one, which nothing can read, where that is no layout."""
        try:
            return msgspec.convert(meta.get("layout"), cls)
        except msgspec.ValidationError:
            return cls()

    def unreadable(self, saved: Layout) -> list[str]:
        """What of ``saved`` would be misread by code of this layout, in words; nothing where all can be read."""
        names = sorted(self.records.keys() | saved.records.keys())
        found = [name for name in names if self.records.get(name) != saved.records.get(name)]
        found += ["features"] if self.features != saved.features else []
        return found or [
            f"{name} ({saved.sizes.get(name, 0)} then, {size} now)"
            for name, size in self.sizes.items()
            if not (saved.sizes.get(name) == size or (name in GROWING and 0 < saved.sizes.get(name, 0) < size))
        ]


GROWING = ("users", "items", "categories", "pairs", "interests")
"""Tables that find their records anew when they are restored: a larger one takes in a smaller one's."""


def layout_of(state: State) -> Layout:
    """The layout of ``state`` as it lies in memory, which is as it is saved."""
    model = {f"model.{name}": getattr(state.model, name) for name in ("linear", "factors")}
    plain = dict(small_arrays(state)) | {"dedupe": state.dedupe.ring} | model
    tables = {name: table.rows for name, table in slot_tables(state)}
    views = {f"views.{part}": getattr(state.views, part) for part in ("hot", "cold", "overlay")}
    records = {name: _records(array) for name, array in (plain | tables).items()}
    records |= {name: [RANGES, *_records(array)] for name, array in views.items()}
    return Layout(
        records={name: _digest(described) for name, described in records.items()},
        sizes={name: len(array) for name, array in plain.items()} | {n: len(rows) - 1 for n, rows in tables.items()},
        features=schema_hash()[:DIGITS],
        parameters=_parameters(),
    )


def _records(array: NDArray[Any]) -> list[Any]:
    return [PIECES, _described(array.dtype), array.shape[1:]]


def _described(dtype: np.dtype[Any]) -> Any:
    """``dtype`` as JSON: every field with its place, down to the scalars."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_described(base), shape]
    if dtype.fields is None:
        return dtype.str
    fields = [[name, dtype.fields[name][1], _described(dtype.fields[name][0])] for name in dtype.names or ()]
    return [dtype.itemsize, fields]


@cache
def _parameters() -> str:
    configs = [config._asdict() for config in (RecommenderConfig(), NoiseConfig(), FeatureConfig())]
    model = hashlib.sha256(b"".join(array.tobytes() for array in default_noise())).hexdigest()
    return _digest([configs, list(_constants()), model])


def _constants() -> Iterator[tuple[str, str, str]]:
    """Every number that a module of the learning kernels names in capitals."""
    sources = {path.relative_to(jit.PACKAGE).with_suffix("") for path in jit.kernel_sources()}
    for source in sorted(source for source in sources if source.as_posix().startswith(LEARNED_WITH)):
        module = importlib.import_module(".".join((jit.PACKAGE.name, *source.parts)))
        for name, value in sorted(vars(module).items()):
            if name.isupper() and isinstance(value, int | float | np.number):
                yield str(source), name, str(value)


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:DIGITS]
