"""Every package says at its top what lies in it, so that a newcomer finds any module in under a minute."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.brokers import ROOT

ROOMS = sorted(
    init.parent for root in ("deploy", "models", "sie_online", "streams") for init in (ROOT / root).rglob("__init__.py")
)


def contents(room: Path) -> set[str]:
    """The modules and packages directly in ``room``."""
    modules = {path.stem for path in room.glob("*.py")} - {"__init__"}
    return modules | {path.parent.name for path in room.glob("*/__init__.py")}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_a_room_lists_what_is_in_it(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8"))) or ""
    assert contents(room) - set(re.findall(r"\w+", said)) == set()
