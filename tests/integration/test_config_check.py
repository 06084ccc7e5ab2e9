"""``sie config check --connect``: each part that is wrong is named, in an exit code too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sie_online.settings import Settings
from streams.cli.root import run
from tests.support import topic_io
from tests.support.brokers import Broker, free_ports
from tests.support.environment import as_environment

pytestmark = pytest.mark.embedded
SettingsFactory = Callable[..., Settings]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs the command under given settings; its exit code and what it wrote to stdout."""

    def call(settings: Settings, *options: str) -> tuple[int, str]:
        for name, value in as_environment(settings).items():
            monkeypatch.setenv(name, value)
        code = run(["config", "check", "--connect", *options])
        return code, capsys.readouterr().out

    return call


def test_what_is_well_is_told_line_by_line(
    settings: SettingsFactory, broker: Broker, check: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    made = settings(broker=broker.address, topics={"partitions": 3})
    topic_io.make_topics(made)
    code, said = check(made)
    assert code == 0
    assert [line.split(":")[:2] for line in said.splitlines()[1:]] == [
        ["OK", " broker"],
        ["OK", " topics"],
        ["OK", " rights"],
        ["OK", " store"],
    ]
    assert f"{made.topics.events} with 3 partitions" in said
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(
    ("broken", "code", "verdicts"),
    [
        ({}, 2, {"broker": True, "topics": False, "rights": None, "store": True}),
        ({"broker": "127.0.0.1:{port}"}, 3, {"broker": False, "topics": None, "rights": None, "store": True}),
        ({"store": "file:///proc/store"}, 2, {"broker": True, "topics": False, "rights": None, "store": False}),
        (
            {"broker": "127.0.0.1:{port}", "store": "file:///proc/store"},
            3,
            {"broker": False, "topics": None, "rights": None, "store": False},
        ),
    ],
    ids=["no topics", "no broker", "no topics, no store", "nothing"],
)
def test_what_is_wrong_is_found_all_at_once(
    settings: SettingsFactory,
    broker: Broker,
    check: Callable[..., tuple[int, str]],
    broken: dict[str, str],
    code: int,
    verdicts: dict[str, Any],
) -> None:
    port = free_ports()[0]
    made = settings(**({"broker": broker.address} | {name: value.format(port=port) for name, value in broken.items()}))
    ended, said = check(made, "--json")
    document = json.loads(said)
    assert ended == code
    assert document["valid"]
    assert {finding["name"]: finding["ok"] for finding in document["checks"]} == verdicts
    if verdicts["topics"] is False:
        assert "sie topics create" in document["checks"][1]["found"]
    if not verdicts["store"]:
        assert document["checks"][3]["exit_code"] in (2, 3)
        assert "file:///proc/store" in document["checks"][3]["found"]
