"""Fixtures for tests of what does input and output."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from tests.support.checkpoints import Stores


@pytest.fixture
def stores(settings: Callable[..., Settings]) -> Stores:
    """Factory: every call is another process's view of one store."""
    return lambda **overrides: CheckpointStore(settings(**overrides), "sie.events", input_partitions=4)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small file system needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
