"""On what a figure was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from sie_online.contracts import CODE_VERSION
from tests.support.brokers import ROOT

PACKAGES = ("faust-streaming", "aiokafka", "river", "numba", "numpy", "pyarrow", "msgspec")
BUSY_SHARE = 0.25
"""Of the cores in use by others: above it, figures say little."""


def describe() -> dict[str, str]:
    """Processor, memory and versions, in words."""
    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} usable"
    found = {
        "processor": _processor(),
        "cores": cores,
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "kafka": _kafka(),
        "java": _java(),
        "python": platform.python_version(),
        "sie-online": f"{CODE_VERSION} {_commit()}".strip(),
    }
    return found | {name: version(name) for name in PACKAGES}


def busy_cores(seconds: float = 1.0) -> float:
    """How many cores others keep busy, measured over ``seconds``."""
    return psutil.cpu_percent(seconds) / 100 * (os.cpu_count() or 1)


def memory() -> dict[str, int]:
    """What this process holds, bytes: its own, files it has mapped, page tables, the most of all that it ever had."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(status[name].split()[0]) << 10 for name in ("RssAnon", "RssFile", "VmPTE", "VmHWM")}


def warning(busy: float) -> str:
    """A sentence where the machine is not idle, else nothing."""
    cores = len(os.sched_getaffinity(0))
    if busy <= BUSY_SHARE * cores:
        return ""
    return f"Others keep {busy:.1f} of {cores} cores busy: ratios within a round may hold, rates are too low."


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _kafka() -> str:
    jars = sorted((ROOT / "build" / "kafka" / "libs").glob("kafka_2.13-*.jar"))
    return jars[-1].stem.removeprefix("kafka_2.13-") if jars else "unknown"


def _java() -> str:
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    return (said.stderr or said.stdout).splitlines()[0]


def _commit() -> str:
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return said.stdout.strip() if said.returncode == 0 else ""
