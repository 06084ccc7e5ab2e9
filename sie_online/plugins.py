"""Classes that settings name: by a short name from a registry, or by a dotted path to anybody's module."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from sie_online.errors import SettingsError

T = TypeVar("T")


def find_class(setting: str, name: str, known: Mapping[str, type[T]], base: type[T]) -> type[T]:
    """The class that ``name`` means in ``setting``: one of ``known``, or ``package.module:Class``, a subclass of
    ``base``.

    Raises:
        SettingsError: it means none; the message names the setting and what may be written.
    """
    if name in known:
        return known[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        there_are = ", ".join(sorted(known))
        raise SettingsError(f"{setting}: {name!r} is unknown: there are {there_are}, or write package.module:Class")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"{setting}: cannot import {name!r}: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, base)) or inspect.isabstract(found):
        raise SettingsError(
            f"{setting}: {name!r} is no {base.__name__} (a subclass of {base.__module__}.{base.__name__})"
        )
    return found
