"""Peers: pinned, standalone, and reported where they cannot run."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.peers import PEERS, SCRIPTS, Peer
from tests.benchmarks.peers import environments as environments_module
from tests.benchmarks.peers.environments import UnavailableError, interpreter, versions

OURS = {"models", "sie_online", "streams", "tests"}
PROGRESS = """
from progress import Progress
import time
progress = Progress({n})
for _ in range({done}):
    progress.add()
time.sleep(30)
"""


@pytest.mark.parametrize("peer", PEERS.values(), ids=lambda peer: peer.name)
def test_a_peer_is_pinned_and_its_script_imports_nothing_of_ours(peer: Peer) -> None:
    assert all("==" in requirement for requirement in peer.requirements)
    tree = ast.parse(peer.path.read_text())
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert OURS.isdisjoint(name.partition(".")[0] for name in imported)


def test_every_script_is_some_peers() -> None:
    scripts = {path.name for path in SCRIPTS.glob("*.py")} - {"progress.py"}
    assert scripts == {peer.script for peer in PEERS.values()}


def test_what_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments_module, "UV", tmp_path / "no-uv")
    peer = Peer("none", ("none==1",), "none.py", "nothing")
    with pytest.raises(UnavailableError, match="no-uv"):
        interpreter(peer, tmp_path)
    assert versions(peer, tmp_path) == {}


@pytest.mark.parametrize("done", [1_000, 996])
def test_a_script_ends_with_the_last_readable_record(done: int) -> None:
    script = PROGRESS.format(n=1_000, done=done)
    with subprocess.Popen([sys.executable, "-c", script], cwd=SCRIPTS, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        child.kill()
    assert line.startswith("RESULT ")
    assert f'"records": {done - 1}' in line
