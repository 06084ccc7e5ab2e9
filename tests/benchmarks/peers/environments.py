"""An environment by peer, made by uv when it is first needed: ``build/bench/peers/NAME``, safe to delete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import BENCH
from tests.benchmarks.peers import Peer

ENVIRONMENTS = BENCH / "peers"
UV = Path(sys.prefix) / "bin" / "uv"
INSTALL_S = 300


class UnavailableError(Exception):
    """The peer cannot run here; says why."""


def interpreter(peer: Peer, environments: Path = ENVIRONMENTS) -> Path:
    """The Python that has ``peer`` installed in its pinned versions.

    Raises:
        UnavailableError: it cannot be installed.
    """
    home = environments / peer.name
    python, installed = home / "bin" / "python", home / "installed.txt"
    wanted = "\n".join(peer.requirements)
    if not (installed.is_file() and installed.read_text() == wanted):
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        _uv("pip", "install", "--quiet", "--python", str(python), *peer.requirements)
        installed.write_text(wanted)
    return python


def versions(peer: Peer, environments: Path = ENVIRONMENTS) -> dict[str, str]:
    """Version by name of what is installed beside ``peer`` and it asked for; nothing where it is not installed."""
    python = environments / peer.name / "bin" / "python"
    if not python.exists():
        return {}
    wanted = {requirement.partition("==")[0] for requirement in peer.requirements}
    found = json.loads(_uv("pip", "list", "--format", "json", "--python", str(python)))
    return {each["name"]: each["version"] for each in found if each["name"] in wanted}


def _uv(*arguments: str) -> str:
    try:
        done = subprocess.run([str(UV), *arguments], capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"uv {arguments[0]}: {error}") from None
    if done.returncode:
        raise UnavailableError(f"uv {arguments[0]}: {_last_line(done.stderr)}")
    return done.stdout


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"
