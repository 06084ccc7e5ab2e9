"""Puts compiled kernels into the wheel, where ``WHEEL_KERNELS`` names their folder (``make wheel``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelsHook(BuildHookInterface[Any]):
    """Such a wheel is for this Python and machine; without kernels it is for any."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version == "standard" and (folder := os.environ.get("WHEEL_KERNELS")):
            build_data["force_include"][str(Path(folder).absolute())] = "sie_online/_kernels"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
