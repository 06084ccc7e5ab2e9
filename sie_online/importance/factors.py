"""All factors, put together: their settings, their state, and their sum in one pass, in column order.

Adding one: a module of this package that has a ``FACTOR``, and its column in ``contracts.FACTOR_COLUMNS``.
"""

from __future__ import annotations

from collections import namedtuple
from importlib import import_module
from typing import Any

import numpy as np

from sie_online.contracts import FACTORS, RAW_FACTORS
from sie_online.importance.factor import Factor, Fields
from sie_online.jit import kernel
from sie_online.settings import Settings

RAW: dict[str, Factor] = {name: import_module(f"sie_online.importance.{name}").FACTOR for name in RAW_FACTORS}
"""The raw factors by name, in column order."""

RAW_PLACES = tuple(FACTORS.index(name) for name in RAW)
UNLEARNED_PLACES = tuple(FACTORS.index(name) for name, factor in RAW.items() if not factor.is_learned)
"""Columns of the factors that the weighted recommender does not learn with."""

KEPT = np.dtype([field for factor in RAW.values() for field in factor.kept], align=True)
"""What the factors keep with an open view, for later statements about it."""

FactorSettings: Any = namedtuple("FactorSettings", RAW_FACTORS)  # type: ignore[misc]
"""Settings of every raw factor, as the kernels take them."""


def settings_of(settings: Settings) -> Any:
    """``FactorSettings`` of a deployment."""
    return FactorSettings(*(factor.settings_of(settings) for factor in RAW.values()))


def fields_of(record: str) -> Fields:
    """State that the factors add to the records of ``record`` (`Factor.fields`)."""
    return [field for factor in RAW.values() for field in factor.fields.get(record, [])]


def _for_each(name: str, parameters: str, hook: str, line: str) -> Any:
    """The kernel ``name(parameters)`` that has a ``line`` for each factor with this ``hook``.

    Compiled code cannot walk a list of functions without calling them through pointers. So the lines are written out,
    as one would by hand.
    """
    hooks = {each: getattr(factor, hook) for each, factor in RAW.items() if getattr(factor, hook)}
    lines = [line.format(call=f"of_{each}", cfg=f"cfg.{each}", at=FACTORS.index(each)) for each in hooks]
    source = "\n    ".join([f"def {name}({parameters}):", *lines, "return"])
    namespace: dict[str, Any] = {f"of_{each}": hooks[each] for each in hooks} | {"__name__": __name__}
    exec(compile(source, __file__, "exec"), namespace)  # noqa: S102 - the text above, of our own names
    return kernel(namespace[name])


raw_factors = _for_each(
    "raw_factors",
    "cfg, learned, moment, out",
    "log_weight",
    "out[{at}] = {call}({cfg}, learned, moment) if {cfg}.on else 0.0",
)
"""``(cfg, learned, moment, out)``: write every raw factor of one statement to its column of ``out``."""

remember = _for_each(
    "remember", "cfg, population, entities, kept", "remember", "{call}({cfg}, population, entities, kept)"
)
"""``(cfg, population, entities, kept)``: at an event, keep what later statements about it will need."""

observe = _for_each("observe", "cfg, population, moment", "observe", "{call}({cfg}, population, moment)")
"""``(cfg, population, moment)``: learn from the first statement about an event."""

settle = _for_each("settle", "cfg, population, label", "settle", "{call}({cfg}, population, label)")
"""``(cfg, population, label)``: learn from a sample's final label."""
