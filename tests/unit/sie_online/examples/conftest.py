"""Logs that the tests of examples share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.examples import generated_log, planted_log


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated log, weighed by ``sie evaluate``."""
    return generated_log(tmp_path_factory.mktemp("generated"))


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with much noise, of which the weights know all."""
    return planted_log(tmp_path_factory.mktemp("planted"))
