"""A sink in a process of its own, to be killed. Forked from a server that has imported all it needs, so it begins soon.

What is imported here starts no thread: a fork of one that has is none to rely on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import deltalake
import obstore
import pyarrow.parquet

from tests.support.lakes import place, short_topic, sink

IMPORTED = (deltalake, obstore, pyarrow.parquet)
LATER_MS = 3_600_000


def write_all(format_name: str, url: str, environment: Mapping[str, str]) -> None:
    """Take the table over, commit message by message, and merge the files."""
    os.environ.update(environment)
    table = place(format_name, url).table("weights")
    sink(table, short_topic())
    table.compact(int(time.time() * 1000) + LATER_MS)


def start(format_name: str, url: str, environment: Mapping[str, str]) -> BaseProcess:
    """``write_all`` in a child."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    child = context.Process(target=write_all, args=(format_name, url, dict(environment)), daemon=True)
    child.start()
    return child
