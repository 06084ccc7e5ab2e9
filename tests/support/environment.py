"""Settings as a child process's environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from sie_online.settings import KNOWN_ELSEWHERE, Settings


def as_environment(settings: Settings) -> dict[str, str]:
    """This process's environment with exactly these settings, for a ``sie …`` child process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIE_")}
    kept |= {name: os.environ[name] for name in KNOWN_ELSEWHERE - {"SIE_CONFIG"} if name in os.environ}
    return kept | dict(_variables(settings.model_dump(exclude_unset=True), "SIE"))


def _variables(values: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    found = []
    for name, value in values.items():
        variable = f"{prefix}__{name}".upper() if prefix != "SIE" else f"SIE_{name}".upper()
        if isinstance(value, Mapping):
            found += _variables(value, variable)
        elif value is not None:
            found.append((variable, _text(value)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(list(value)) if isinstance(value, tuple | list) else str(value)
