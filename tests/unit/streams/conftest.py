"""Fixtures for tests of what does input and output."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from tests.unit.streams.states import Stores


@pytest.fixture
def stores(settings: Callable[..., Settings]) -> Stores:
    """Factory: every call is another process's view of one store."""
    return lambda **overrides: CheckpointStore(settings(**overrides), "sie.events", input_partitions=4)
