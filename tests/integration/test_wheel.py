"""A wheel with kernels starts where nothing can be written, and compiles nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.brokers import ROOT
from tests.support.workers import SIE_WORKER

pytestmark = pytest.mark.slow

FIRST_START = """
import json, sie_online
from pathlib import Path
from sie_online import jit
from sie_online.settings import Api, Recommend, Settings
from streams.worker.startup import compile_kernels

stages = []
everything = Settings(recommend=Recommend(enabled=True), api=Api(token_file=Path("tokens")))
compile_kernels(stages.append, everything)
missed = sum(sum(kernel.stats.cache_misses.values()) for kernel in jit._kernels)
print(json.dumps({"from": sie_online.__file__, "used": sorted(jit.folders.used), "compiled": missed}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Names of the kernels that were put in, and the wheel."""
    here = tmp_path_factory.mktemp("wheel")
    told = subprocess.run(
        [*SIE_WORKER[:-1], "kernels", "--copy-to", str(here / "kernels"), "--json"], check=True, stdout=subprocess.PIPE
    )
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", here / "dist", ROOT],
        env=os.environ | {"WHEEL_KERNELS": str(here / "kernels")},
        check=True,
    )
    (wheel,) = (here / "dist").glob("*.whl")
    return json.loads(told.stdout)["kernels"], wheel


def test_it_is_for_this_python_and_kind_of_machine(built: tuple[list[str], Path]) -> None:
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert built[1].stem.split("-")[2:] == [python, python, machine]


def test_its_first_start_compiles_nothing_and_writes_nothing(built: tuple[list[str], Path], tmp_path: Path) -> None:
    kernels, wheel = built
    assert kernels
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIE_", "XDG_", "PYTHON"))}
    started = subprocess.run(
        [sys.executable, "-c", FIRST_START],
        cwd=tmp_path,
        env=kept | {"HOME": "/proc/nobody", "PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    answer = json.loads(started.stdout)
    assert answer == {"from": str(tmp_path / "site" / "sie_online" / "__init__.py"), "used": kernels, "compiled": 0}
