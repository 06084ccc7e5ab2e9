"""A bench for the worker's parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sie_online.settings import Settings
from streams.worker import assignment, checkpointer, current, processing
from tests.support.worker_bench import Bench, Died


@pytest.fixture
def bench(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Bench]:
    """Makes benches within a running loop, where dying raises ``Died``."""

    def die(code: int, reason: str) -> None:
        raise Died(code, reason)

    for module in (processing, assignment, checkpointer, current):
        monkeypatch.setattr(module, "die", die)
    return lambda: Bench(settings())
