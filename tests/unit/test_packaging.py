"""What an install brings: a subscriber's is light, names resolve lazily, and ``sie`` says what is missing."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from importlib.resources import files

import numpy as np
import pytest

import sie_online
from sie_online.importance.noise.model import TENSORS
from streams.cli import WITHOUT_IT
from streams.cli.root import COMMANDS
from streams.extras import install_line
from tests.support.brokers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
HEAVY = {"faust", "river", "numba", "scipy", "pandas", "sklearn", "matplotlib", "rich", "typer", "torch", "aiohttp"}

PARTIAL_INSTALL = """
import sys
from importlib.machinery import PathFinder

class PartialInstall(PathFinder):
    # Finds what such an install would have brought, and nothing else.
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else super().find_spec(name, path, target)

sys.meta_path[:] = [PartialInstall if finder is PathFinder else finder for finder in sys.meta_path]
"""


def distribution(requirement: str) -> str:
    """The normalised name in a requirement such as ``aiokafka[lz4]>=0.14; python_version > '3'``."""
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()  # type: ignore[index]


def closure(requirements: list[str]) -> set[str]:
    """The distributions that installing ``requirements`` brings (optional parts of theirs apart, but for codecs)."""
    found: set[str] = {"cramjam"}
    waiting = [distribution(requirement) for requirement in requirements]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            with suppress(PackageNotFoundError):  # of another system, or of the one extra that is not installed
                waiting += [distribution(more) for more in requires(name) or [] if "extra ==" not in more]
    return found


def in_install(code: str, *extras: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` where only what the base dependencies and those of ``extras`` bring can be imported."""
    brought = [each for extra in extras for each in PROJECT["optional-dependencies"][extra]]
    allowed = closure([*PROJECT["dependencies"], *brought]) | {"sie-online", "pip"}
    owners = packages_distributions()
    blocked = {name for name, owned in owners.items() if not {distribution(owner) for owner in owned} & allowed}
    assert blocked
    script = f"BLOCKED = {blocked!r}\n{PARTIAL_INSTALL}\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)


def loaded_by(code: str) -> set[str]:
    """Top-level names in ``sys.modules`` after ``code`` in a fresh interpreter."""
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_base_install_is_enough_to_subscribe() -> None:
    done = in_install("from sie_online import *; from sie_online import WeightSubscriber; print(WeightSubscriber)")
    assert done.returncode == 0, done.stderr
    assert "WeightSubscriber" in done.stdout


def test_examples_need_the_base_install_and_their_library() -> None:
    done = in_install("import sie_online.examples.tables; print('shared'); import sie_online.examples.river")
    assert done.stdout == "shared\n"
    assert done.returncode == 2
    assert done.stderr.startswith("this example needs river: pip install river (")


def test_base_install_lacks_the_worker() -> None:
    done = in_install("import faust")
    assert "No module named 'faust'" in done.stderr


def test_sie_without_the_worker_extra_says_what_to_type_and_exits_2() -> None:
    done = in_install("sys.argv = ['sie', 'worker', '--help']\nfrom streams.cli import main\nmain()")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"sie: the command needs the package typer: {install_line('worker')}\n{WITHOUT_IT}\n"


EACH = """
from streams.cli import root
for arguments in EACH:
    print(*arguments, root.run(arguments))
"""


def test_every_help_teaches_in_a_worker_install_that_lacks_all_other_extras() -> None:
    done = in_install(f"EACH = {[[name, '--help'] for name in COMMANDS]}{EACH}", "worker")
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert f"Usage: sie {name} " in done.stdout
        assert f"\n{name} --help 0\n" in done.stdout


def test_a_missing_extra_is_told_with_the_line_to_type() -> None:
    demo = "the demo needs the package matplotlib"
    torch = "the trainer needs the package torch"
    said = {
        "demo": f"{demo}: {install_line('demo', 'trainer')}",
        "demo --no-trainer": f"{demo}: {install_line('demo')}",
        "trainer": f"{torch}: {install_line('worker', 'trainer')}",
        "worker --with-trainer": f"{torch}: {install_line('worker', 'trainer')}",
        "model submit x.safetensors": f"{torch}: {install_line('worker', 'trainer')}",
        "fit-noise x.csv --out x": f"{torch}: {install_line('worker', 'trainer')}",
        "evaluate x.csv --out x --trainer": f"{torch}: {install_line('worker', 'trainer')}",
    }
    done = in_install(f"EACH = {[arguments.split() for arguments in said]}{EACH}", "worker")
    assert done.stdout.splitlines() == [f"{arguments} 2" for arguments in said]
    assert done.stderr.splitlines() == [f"sie: {sentence}" for sentence in said.values()]


def test_importing_the_package_loads_only_itself() -> None:
    assert loaded_by("import sie_online") & {"numpy", "pyarrow", "pydantic", *HEAVY} == set()


@pytest.mark.parametrize("module", ["sie_online.contracts", "sie_online.client", "sie_online.settings"])
def test_light_modules_load_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") & HEAVY == set()


def test_subscriber_loads_nothing_heavy() -> None:
    loaded = loaded_by("import sie_online; sie_online.WeightSubscriber")
    assert "aiokafka" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("name", sie_online.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(sie_online, name) is not None
    assert name in dir(sie_online)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Subscribr"):
        _ = sie_online.Subscribr  # type: ignore[attr-defined]


def test_the_code_says_the_version_that_is_packaged() -> None:
    assert sie_online.__version__ == PROJECT["version"]


def test_the_default_noise_model_is_part_of_the_package() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel.pop("hooks") == {"custom": {}}, "it adds compiled kernels where there are some"
    assert wheel == {"packages": ["models", "sie_online", "streams"]}, "whole folders, their data with them"
    with (files("sie_online.importance.noise") / "default.npz").open("rb") as file:
        assert set(np.load(file)) == set(TENSORS)


def test_declared_entry_points_exist() -> None:
    targets = [*PROJECT["scripts"].values(), *PROJECT["entry-points"]["faust.transports"].values()]
    for target in targets:
        module, _, attribute = target.partition(":")
        assert hasattr(importlib.import_module(module), attribute), target


def test_every_dependency_has_a_tested_lower_bound_and_a_constraint() -> None:
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    pinned = {distribution(line) for line in constraints.splitlines() if not line.startswith("#")}
    extras = PROJECT["optional-dependencies"].values()
    for requirement in [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]:
        if distribution(requirement) != PROJECT["name"]:
            assert ">=" in requirement, requirement
            assert distribution(requirement) in pinned, requirement


def test_constraints_name_no_index() -> None:
    assert not re.search(r"://|--", (ROOT / "constraints.txt").read_text("utf-8"))
