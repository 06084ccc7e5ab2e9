"""A worker is refused before it joins only for what is so at a second look, too."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from sie_online.errors import DecisionError
from streams.worker import preflight


def _looks(monkeypatch: pytest.MonkeyPatch, *refusals: str | None) -> list[str | None]:
    """Have looks say this, one after the other; what is left of it."""
    to_say = list(refusals)

    async def look(*_: Any) -> None:
        if refusal := to_say.pop(0):
            raise DecisionError(refusal)

    monkeypatch.setattr(preflight, "_check", look)
    return to_say


def _check() -> None:
    nothing = cast(Any, None)
    asyncio.run(preflight.check_before_joining(nothing, nothing, nothing))


def test_what_another_worker_changed_between_two_questions_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    to_say = _looks(monkeypatch, "the store is empty though the group has commits", None)
    _check()
    assert to_say == []


def test_what_two_looks_agree_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _looks(monkeypatch, "the settings differ", "the settings differ")
    with pytest.raises(DecisionError, match="the settings differ"):
        _check()
