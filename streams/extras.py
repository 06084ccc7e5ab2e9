"""What an install lacks, and the line that adds it. Imports nothing that has to be installed.

Every hint of ours that says what to install comes from here, so that it can be typed as it stands: where this was
installed from a folder or a wheel, from there; else from an index.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse

from sie_online.errors import UsageError

NAME = "sie-online"
CHECKOUT = Path(__file__).parents[1]


def require(what: str, modules: tuple[str, ...], *extras: str) -> None:
    """See that ``modules`` can be imported, without importing them.

    Raises:
        UsageError: one cannot; says what needs it (``what``) and the line that installs ``extras``.
    """
    for module in modules:
        if find_spec(module) is None:
            raise UsageError(missing(what, module, *extras))


def missing(what: str, module: str, *extras: str) -> str:
    """The sentence for a module that is not there."""
    return f"{what} needs the package {module}: {install_line(*extras)}"


def install_line(*extras: str) -> str:
    """The command that adds ``extras`` to this very installation."""
    chosen = f"[{','.join(extras)}]"
    source = _source()
    if source is None:
        return f"{_pip()} {shlex.quote(NAME + chosen)}"
    constraints = source / "constraints.txt"
    held = f" -c {shlex.quote(_from_here(constraints))}" if constraints.exists() else ""
    return f"{_pip()}{held} {shlex.quote(_from_here(source) + chosen)}"


def activate_line() -> str:
    """What has to be typed before the shell finds this very ``sie``; empty where it finds it."""
    here = Path(sys.executable).parent
    found, script = shutil.which("sie"), here / "activate"
    if (found and Path(found).parent == here) or not script.exists():
        return ""
    named = script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script
    return f". {shlex.quote(str(named))}"


def _pip() -> str:
    """The pip of this Python, by the shortest name under which the shell finds it."""
    here = Path(sys.executable).parent
    if find_spec("pip") is None:
        return f"uv pip install --python {shlex.quote(sys.executable)}"
    found = shutil.which("pip")
    return "pip install" if found and Path(found).parent == here else f"{shlex.quote(sys.executable)} -m pip install"


def _source() -> Path | None:
    """The checkout or wheel that this was installed from; None: from an index, or what it came from is gone."""
    if (CHECKOUT / "pyproject.toml").exists():
        return CHECKOUT
    try:
        noted = distribution(NAME).read_text("direct_url.json")  # PEP 610
    except PackageNotFoundError:
        return None
    place = urlparse(json.loads(noted)["url"]) if noted else None
    if place is None or place.scheme != "file":
        return None
    source = Path(unquote(place.path))
    return source if source.exists() else None


def _from_here(path: Path) -> str:
    """``path`` as it is typed from the current folder: ``.`` and what lies right below it by name, all else whole."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path == here or path.parent == here else str(path)
