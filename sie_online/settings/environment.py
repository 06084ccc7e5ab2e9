"""What stands in the environment under our prefix: settings, what Kubernetes puts there, and typing errors."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches

from pydantic import BaseModel

PREFIX = "SIE_"

SERVICE_LINK = re.compile(
    r"SIE(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""Variables that Kubernetes makes in every pod for a Service named ``sie`` or ``sie-…``; a setting has ``__``."""
SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
"""What the one of them begins with that could be a typing error: ``SIE_WEB_PORT`` is an address, or misspelt."""


def is_service_link(variable: str, value: str) -> bool:
    """Whether Kubernetes made ``variable``."""
    named = variable.endswith("_PORT") and "__" not in variable and SERVICE_ADDRESS.match(value)
    return bool(named or SERVICE_LINK.fullmatch(variable))


def unknown_variables(fields: Collection[str], elsewhere: Collection[str]) -> Iterator[str]:
    """Variables under our prefix that are of none of ``fields`` and not known ``elsewhere``."""
    known = {f"{PREFIX}{field}".upper() for field in fields} | set(elsewhere)
    for variable, value in sorted(os.environ.items()):
        ours = variable.startswith(PREFIX) and variable.split("__")[0].upper() not in known
        if ours and not is_service_link(variable, value):
            yield variable


def names(model: type[BaseModel]) -> Iterator[str]:
    """Every setting below ``model``, dotted."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}.{below}" for below in names(field.annotation))
        else:
            yield name


def variable_of(name: str) -> str:
    """The variable of a setting: ``SIE_WEB__PORT`` of ``web.port``."""
    return PREFIX + name.replace(".", "__").upper()


def suggestion(wrong: str, known: Collection[str]) -> str:
    """``; did you mean …?`` with the one of ``known`` that ``wrong`` is most like; nothing where none is."""
    near = get_close_matches(wrong, known, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""
