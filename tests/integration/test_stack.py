"""All of it as a person starts it: real Kafka, worker, trainer, Prometheus; every panel finds its data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.stack.answers import pages
from tests.support.brokers import ROOT, fetch_kafka
from tests.support.requirements import PROMETHEUS, need

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
STACK = (sys.executable, "-m", "deploy.stack")
LIMIT_S = 900  # kernels that are not compiled yet, on a busy machine


def about(folder: Path) -> list[str]:
    """Processes of whom ``folder`` is in the command line or in the environment."""
    found = []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:  # it has just ended
            continue
        if process.pid != psutil.Process().pid and any(str(folder) in text for text in said):
            found.append(process.name())
    return found


@pytest.mark.timeout(LIMIT_S + 60)
def test_every_query_of_every_panel_is_answered_and_nothing_is_left_running(tmp_path: Path) -> None:
    need("prometheus", install=PROMETHEUS)
    fetch_kafka()
    folder = tmp_path / "stack"
    done = subprocess.run(
        [*STACK, "--check", "--out", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S
    )
    logs = {log.name: log.read_text(errors="replace")[-2_000:] for log in folder.glob("*.log")}
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{logs}"
    asked = sum(len(page.queries) for page in pages())
    assert asked > 70
    assert f"{asked} of {asked} queries answered" in done.stdout
    assert about(folder) == []


def test_what_the_machine_lacks_is_named_with_what_installs_it(tmp_path: Path) -> None:
    lacking = subprocess.run(
        [*STACK, "--check", "--out", str(tmp_path)], cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True
    )
    assert lacking.returncode == 2
    assert "the stack needs java, mvn, prometheus:" in lacking.stderr
    assert "apt-get install --no-install-recommends prometheus" in lacking.stderr
    assert list(tmp_path.iterdir()) == []
