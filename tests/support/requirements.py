"""What a test needs from the machine: without it a developer's run skips the test, and a run under CI fails."""

from __future__ import annotations

import os
import shutil

import pytest

PROMETHEUS = "apt-get install --no-install-recommends prometheus"
CHROMIUM = "apt-get install --no-install-recommends chromium chromium-driver"


def need(*tools: str, install: str) -> None:
    """End the test here where one of ``tools`` is not on the path."""
    if lacking := [tool for tool in tools if shutil.which(tool) is None]:
        end(f"{' and '.join(lacking)} missing: {install}")


def end(missing: str) -> None:
    """End the test here for want of what is ``missing``."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
