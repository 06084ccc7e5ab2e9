"""Processes of a demo or a stack: told to stop, all of them stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

RUN = """
import signal, sys, time
from pathlib import Path
from streams.demo.children import Children

signal.signal(signal.SIGINT, getattr(signal, sys.argv[2]))
with Children() as children:
    children.start("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], Path(sys.argv[1]) / "log")
    print("started", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("before", ["default_int_handler", "SIG_IGN"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_in_the_background_of_a_shell_too_they_stop_when_told(how: signal.Signals, before: str, tmp_path: Path) -> None:
    """A shell has Ctrl-C ignored by what it starts in its background."""
    command = [sys.executable, "-c", RUN, str(tmp_path), before]
    run = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert run.stdout.readline() == "started\n"
    (sleeper,) = run.children()
    run.send_signal(how)
    run.communicate(timeout=30)
    assert not sleeper.is_running()
