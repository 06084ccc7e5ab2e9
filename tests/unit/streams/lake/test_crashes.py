"""A sink may be killed anywhere: the next one makes the table whole, with every row once.

In a bucket a process changes nothing but by a request. So a death before each request that changes something is a
death at every step there is, whoever makes it: our code, Delta's, or the bucket's client.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from sie_online.client.lakes import read_manifest
from sie_online.errors import DecisionError
from streams.lake.parquet import ParquetTable
from streams.lake.port import ALL
from streams.store import LocalStore, open_store
from tests.support.buckets import Asked, Network
from tests.support.checkpoints import Killed, MortalStore
from tests.support.lake_child import SinkProcesses, sink_processes
from tests.support.lakes import FORMATS, about, expected, flush_of, message, place, row, rows_of, short_topic, sink
from tests.support.mortal import KilledAt


@pytest.fixture(scope="module")
def processes() -> Iterator[SinkProcesses]:
    with sink_processes() as started:
        yield started


def _die_at(processes: SinkProcesses, network: Network, format_name: str, url: str, n: int) -> Asked | None:
    """What a sink asked for when it was killed; None where it came to its end."""
    with network.befallen(death := KilledAt(n)):
        death.pid.put(processes.start(format_name, url, network.environment()))
        code = processes.wait()
    assert code in (0, -signal.SIGKILL)
    return death.last if code else None


def _files(url: str) -> set[str]:
    """Everything that lies in a table's folder, but for what Delta writes beside the rows."""
    system, path = pafs.FileSystem.from_uri(url)
    found = system.get_file_info(pafs.FileSelector(path, recursive=True))
    return {each.path.removeprefix(f"{path}/") for each in found if each.type == pafs.FileType.File}


def _check_whole(format_name: str, url: str) -> None:
    """The next sink finishes: every row is there once, and where there is a manifest, no file that it does not name."""
    sink(place(format_name, url).table("weights"), short_topic())
    assert rows_of(format_name, f"{url}/weights") == expected(short_topic())
    if format_name == "parquet":
        manifest = read_manifest(f"{url}/weights")
        known = {each["path"] for each in [*manifest["files"], *manifest["retired"]]}
        assert {name for name in _files(f"{url}/weights") if name.startswith("day=")} == known


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_kill_9_before_each_change_in_a_bucket_loses_and_doubles_no_row(
    format_name: str, processes: SinkProcesses, network: Network, bucket: str
) -> None:
    deaths = []
    for n in range(1, 100):
        died = _die_at(processes, network, format_name, f"{bucket}/{n}", n)
        _check_whole(format_name, f"{bucket}/{n}")
        if died is None:
            break
        deaths.append(died)
    steps = [f"{asked.kind} {asked.path.partition('weights/')[2].partition('/')[0]}" for asked in deaths]
    commits = "CREATE _delta_log" if format_name == "delta" else "PUT _manifests"
    assert steps.count(commits) == 5, steps  # the table's making, three commits, one merge of files
    assert sum(step.startswith("PUT day%3D") for step in steps) >= 5, steps


def test_death_at_any_point_of_a_commit_on_a_disk_leaves_the_table_whole(tmp_path: Path) -> None:
    """Of the Parquet table, at every file that is opened, half written, synced, renamed or deleted."""
    survived, dies_at, backend = set(), 0, MortalStore(tmp_path, -1)
    while backend.left <= 0:
        dies_at += 2  # half the points do: what a file goes through, it goes through again and again
        root = tmp_path / str(dies_at) / "weights"
        backend = MortalStore(root, dies_at)
        try:
            sink(ParquetTable(root.as_uri(), store=backend), short_topic())
        except Killed as death:
            survived.add(str(death))
        _check_whole("parquet", root.parent.as_uri())
    assert {"half", "renamed .json", "renamed .parquet", "synced", "deleted .json"} <= survived


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_kill_9_at_random_moments_on_a_disk(format_name: str, processes: SinkProcesses, tmp_path: Path) -> None:
    chance, url = random.Random(13), tmp_path.as_uri()
    for _ in range(8):
        pid = processes.start(format_name, url, {})
        time.sleep(chance.uniform(0.0, 0.2))  # the moment of death is the test's input
        os.kill(pid, signal.SIGKILL)
        processes.wait()
    _check_whole(format_name, url)


def test_a_replaced_sinks_last_words_are_never_read(tmp_path: Path) -> None:
    """It was suspended between looking whether it is replaced and its manifest."""
    root = tmp_path / "weights"
    said = short_topic()
    zombie = ParquetTable(root.as_uri())
    sink(zombie, said[:2])
    store = open_store(root.as_uri())
    before = set(store.list("_manifests"))
    successor = ParquetTable(root.as_uri())
    successor.resume(about(ALL))
    tenure = zombie._tenure
    tenure.keep = lambda: delattr(tenure, "keep")  # type: ignore[method-assign]  # once: it had looked before
    with pytest.raises(DecisionError, match="another sink has taken this table over"):
        zombie.commit(flush_of(said[2:4], zombie._ours.marks))
    assert len(set(store.list("_manifests")) - before) == 2
    sink(ParquetTable(root.as_uri()), said)
    assert rows_of("parquet", root.as_uri()) == expected(said)


class DiesDeleting(LocalStore):
    """A disk under a process that dies as it is to delete rows."""

    def delete(self, name: str) -> None:
        if name.endswith(".parquet"):
            raise Killed(name)
        super().delete(name)


def test_a_file_whose_time_has_come_is_not_forgotten_by_a_death_before_its_deletion(tmp_path: Path) -> None:
    said, root, now_s = [message(at, row(at)) for at in range(5)], tmp_path / "weights", time.time()
    table = ParquetTable(root.as_uri(), lambda: now_s)
    sink(table, said[:3])
    assert table.compact(int(now_s * 1000) + 1) == 3
    with pytest.raises(Killed):
        sink(ParquetTable(root.as_uri(), lambda: now_s + 7_200, store=DiesDeleting(root)), said[:4])
    sink(ParquetTable(root.as_uri(), lambda: now_s + 7_200), said)
    assert {name for name in _files(root.as_uri()) if name.startswith("day=")} == {
        each["path"] for each in read_manifest(root.as_uri())["files"]
    }
    assert rows_of("parquet", root.as_uri()) == expected(said)
