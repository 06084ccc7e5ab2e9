"""Sinks in processes of their own, to be killed; each is forked from one that has imported all they need, and so begins
at once.

What is imported here starts no thread: a fork of a process that has one is none to rely on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import deltalake
import obstore
import pyarrow.parquet

from tests.support.brokers import ROOT
from tests.support.lakes import place, short_topic, sink, users

IMPORTED = (deltalake, obstore, pyarrow.parquet)
SHORT_TOPIC = short_topic()  # once: Arrow imports pandas for it, which takes longer than all that follows
LATER_MS = 3_600_000
FORGOTTEN = users("u0")


class SinkProcesses:
    """Starts sinks, one at a time."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def start(self, format_name: str, url: str, environment: Mapping[str, str]) -> int:
        """A sink that takes the table at ``url``, commits ``short_topic``, and merges the files; its process id."""
        return self._ask([format_name, url, dict(environment)])

    def start_forgetting(self, format_name: str, url: str, environment: Mapping[str, str]) -> int:
        """A visitor of that table that forgets ``FORGOTTEN``; its process id."""
        return self._ask([format_name, url, dict(environment), True])

    def wait(self) -> int:
        """How it ended: its exit code, or the signal that ended it, negative. Until then nobody else gets its id."""
        return self._ask("wait")

    def _ask(self, what: Any) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(what) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@contextmanager
def sink_processes() -> Iterator[SinkProcesses]:
    """What starts them."""
    server = subprocess.Popen(
        [sys.executable, "-m", __name__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        yield SinkProcesses(server)


def _serve() -> None:
    for line in sys.stdin:
        if not (pid := os.fork()):
            _work(*json.loads(line))
            os._exit(0)
        print(pid, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _work(format_name: str, url: str, environment: Mapping[str, str], forgets: bool = False) -> None:
    os.environ.update(environment)
    table = place(format_name, url).table("weights")
    if forgets:
        table.visit()
        table.forget(FORGOTTEN)
        return
    sink(table, SHORT_TOPIC)
    table.compact(int(time.time() * 1000) + LATER_MS)


if __name__ == "__main__":
    _serve()
