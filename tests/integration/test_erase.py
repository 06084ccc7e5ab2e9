"""``sie erase`` on the embedded broker: asked for, done, checked, and done again by whoever reads the log anew."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pyarrow.parquet as pq
import pytest

from sie_online import contracts
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from streams.cli import root as cli
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.environment import as_environment
from tests.support.events import event
from tests.support.lakes import FORMATS, Said, expected, message, row, rows_of
from tests.support.workers import SIE_WORKER, WorkerProcess, wait_until_read, worker_pool

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
SettingsFactory = Callable[..., Settings]

WHO = "u-erased"
OTHERS = [f"u{n}" for n in range(20)]


class EraseDeployment:
    """Settings of a test's own, and ``sie`` under them."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings = settings
        self._capsys = capsys
        self._written = 0
        for name, value in as_environment(settings).items():
            if name.startswith("SIE_"):
                monkeypatch.setenv(name, value)

    def sie(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and what went to stdout."""
        self._capsys.readouterr()
        code = cli.run(arguments)
        return code, self._capsys.readouterr().out

    def held(self) -> dict[str, Any]:
        """What ``--check`` finds."""
        code, printed = self.sie("erase", "--check", "--user", WHO, "--json")
        (trace,) = json.loads(printed)
        assert code == (78 if trace["held"] else 0)
        return dict(trace)

    def write(self, users: Iterable[str]) -> None:
        """Some views of each of ``users``."""
        rows = []
        for user in users:
            for item in range(3):
                self._written += 1
                value = json.dumps(event(self._written, user=user, item=f"i{item}", at_s=self._written))
                rows.append(WireRecord(user.encode(), value.encode()))
        topic_io.write(self.settings, rows)

    def wait(self, worker: WorkerProcess) -> None:
        """Until a checkpoint covers all that is written."""
        wait_until_read(self.settings, worker)


@pytest.fixture
def at(
    broker: Broker, settings: SettingsFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> EraseDeployment:
    made = settings(
        broker=broker.address,
        checkpoint={"interval_s": 0.3},
        topics={"partitions": 2},
        entities={"publish_max_age_s": 1e-3},
        recommend={"enabled": True, "publish": True},
    )
    topic_io.make_topics(made)
    return EraseDeployment(made, monkeypatch, capsys)


def test_an_erased_user_is_gone_from_store_and_statements_even_after_the_log_is_read_anew(
    at: EraseDeployment, tmp_path: Path
) -> None:
    with worker_pool(at.settings, tmp_path) as start:
        worker = start()
        at.write([*OTHERS, WHO])
        at.wait(worker)
        before = at.held()
        assert before["packs"]
        assert before["stated"]
        assert before["recommended"]

        code, printed = at.sie("erase", "--user", WHO, "--yes", "--json")
        assert (code, json.loads(printed)["partitions"]) == (0, 2)
        at.wait(worker)
        assert not at.held()["stated"]
        assert not at.held()["recommended"]
        at.write(OTHERS)  # the last checkpoint before the record is still kept, until two lie after it
        at.wait(worker)
        assert not at.held()["held"]
        assert worker.stop() == 0

    (tmp_path / "anew").mkdir()
    shutil.rmtree(urlparse(at.settings.store).path)
    with worker_pool(at.settings, tmp_path / "anew", (*SIE_WORKER, "--fresh")) as start:
        worker = start()
        worker.wait_ready()
        at.write(OTHERS)
        at.wait(worker)
        assert not at.held()["held"]
        assert worker.stop() == 0

    table = tmp_path / "weights.parquet"
    assert at.sie("tail", "weights", "--parquet", str(table), "--until-idle", "2")[0] == 0
    rows = pq.read_table(table).to_pylist()
    withdrawn = [row for row in rows if row["final"] and row["label"] is None and row["event_type"] == "view"]
    assert len(withdrawn) == 3
    assert {row["user_id"] for row in withdrawn} == {""}
    assert at.sie("audit", str(table))[0] == 0


def test_nobody_is_forgotten_by_mistake(at: EraseDeployment) -> None:
    before = topic_io.ends(at.settings, at.settings.topics.events)
    for arguments in (["--user", WHO], ["--yes"], ["--yes", "--user", ""], ["--yes", "--user", "u" * 300]):
        assert at.sie("erase", *arguments)[0] == 2
    assert topic_io.ends(at.settings, at.settings.topics.events) == before


def test_a_file_names_many_users_each_once(at: EraseDeployment, tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("u1\nü2\n\nu1\n", "utf-8")
    code, printed = at.sie("erase", "--file", str(listed), "--user", "u1", "--yes", "--json")
    assert code == 0
    assert [one["user_id"] for one in json.loads(printed)["erased"]] == ["u1", "ü2"]
    records = topic_io.read(at.settings, at.settings.topics.events)
    assert [(record.partition, json.loads(record.value)["user_id"]) for record in records] == [
        (0, "u1"), (0, "ü2"), (1, "u1"), (1, "ü2"),
    ]  # fmt: skip


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_tables_of_a_lake_forget_a_user_and_it_says_when_that_is_final(
    at: EraseDeployment, tmp_path: Path, format_name: str
) -> None:
    said = [message(0, row(0, user_id=WHO), row(1)), message(1, row(2, user_id=WHO), row(3))]
    url = f"{tmp_path.as_uri()}/lake"
    sink = ("sink", "--to", f"{format_name}+{url}", "--until-idle", "0.5")
    lake = ("--user", WHO, "--lake", f"{format_name}+{url}", "--json")

    def publish(each: Said) -> None:
        topic = at.settings.topics.weights
        asyncio.run(topic_io.publish(at.settings, topic, contracts.to_message(each.batch)))

    def deleted(code: int) -> int:
        found, printed = at.sie("erase", *lake, "--yes", "--wait", "0")
        assert found == code
        return sum(int(table["rows"]) for table in json.loads(printed)["tables"])

    assert at.sie("erase", *lake, "--yes")[0] == 2, "there is no table"
    publish(said[0])
    assert at.sie(*sink)[0] == 0
    code, printed = at.sie("erase", "--check", *lake)
    assert (code, [table["rows"] for table in json.loads(printed)["tables"]]) == (78, [1, 0])
    publish(said[1])
    assert deleted(78) == 1, "the sink has not read all yet"
    assert at.sie(*sink)[0] == 0
    assert deleted(0) == 1
    assert at.sie("erase", "--check", *lake)[0] == 0
    assert rows_of(format_name, f"{url}/weights") == expected(said, without=WHO)
