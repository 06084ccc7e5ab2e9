"""A replay that ends early says what it has written, and a file that is wrong altogether reaches no topic."""

from __future__ import annotations

import gc
import json
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sie_online.errors import UsageError
from sie_online.ingest.wire import Chunk, Origin, WireRecord
from sie_online.settings import Settings
from streams.cli import replay as command
from streams.cli.root import run
from tests.support import topic_io
from tests.support.brokers import Broker, embedded_broker
from tests.support.events import event

pytestmark = pytest.mark.embedded

SIZE = 3_000
BAD = WireRecord(b"u", b'{"event_id": 1}')

Replay = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made(settings: Callable[..., Settings], broker: Broker) -> Settings:
    chosen = settings(broker=broker.address, topics={"partitions": 3})
    topic_io.make_topics(chosen)
    return chosen


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Replay:
    """Have ``sie replay`` write chunks of our own; returns its exit code and what it said (stdout, stderr)."""

    def replayed(settings: Settings, chunks: Iterable[Chunk], *more: str) -> tuple[int, str, str]:
        monkeypatch.setattr(command, "read_events", lambda _files, _reading, **_more: chunks)
        where = ["--set", f"broker={settings.broker}", "--set", f"topics.events={settings.topics.events}"]
        code = run([*where, "--set", "kafka.request_timeout_s=1", "replay", "a.csv", *more])
        said = capsys.readouterr()
        return code, said.out, said.err

    return replayed


def good(n: int) -> WireRecord:
    one = event(n, at_s=float(n), user=f"u{n % 50}")
    return WireRecord(one["user_id"].encode(), json.dumps(one).encode())


def chunk(number: int, *, bad: Iterable[int] = (), size: int = SIZE) -> Chunk:
    """The ``number``-th chunk of a.csv, whose row n stands in line n + 2; of ``bad`` ones, the n-th is no event."""
    wrong, first = set(bad), number * size
    rows = [BAD if n in wrong else good(first + n) for n in range(size)]
    return Chunk(rows, 0.1 * (number + 1), Origin("a.csv", np.arange(first, first + size) + 2))


def written(settings: Settings) -> int:
    return len(topic_io.read(settings, settings.topics.events))


def then(chunks: Iterable[Chunk], end: Callable[[], Any]) -> Iterator[Chunk]:
    yield from chunks
    end()


def cut() -> None:
    raise UsageError("a.csv.gz ends in the middle: it was cut")


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
def test_a_file_that_is_cut_leaves_what_was_read_and_says_up_to_where(
    made: Settings, replayed: Replay, as_json: list[str]
) -> None:
    code, out, stderr = replayed(made, then([chunk(0), chunk(1)], cut), *as_json)
    assert (code, out) == (2, "")
    assert stderr.splitlines()[-2:] == [
        "Stopped early: 6,000 records were written and acknowledged, all of them up to a.csv, line 6001",
        "sie: a.csv.gz ends in the middle: it was cut",
    ]
    assert written(made) == 6_000


def test_ctrl_c_while_a_silent_pipe_is_read_ends_at_once(made: Settings, replayed: Replay) -> None:
    def press() -> None:
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the read went on")

    code, _, stderr = replayed(made, then([chunk(0)], press))
    assert code == 130
    assert stderr.endswith(
        "Stopped early: 3,000 records were written and acknowledged, all of them up to a.csv, line 3001\n"
    )
    assert written(made) == 3_000


def test_ctrl_c_between_two_records_leaves_and_counts_those_before(
    made: Settings, replayed: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streams.tools.writer import EventWriter

    write = EventWriter.write

    async def press(self: EventWriter, records: Any) -> None:
        await write(self, records)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(EventWriter, "write", press)
    code, _, stderr = replayed(made, [chunk(0)], "--rate", "1000")
    count = written(made)
    assert code == 130
    assert 0 < count < SIZE
    assert f"{count:,} records were written and acknowledged, all of them up to a.csv, line {count + 1}\n" in stderr


def test_a_broker_that_goes_away_is_3_and_only_what_it_acknowledged_counts(
    settings: Callable[..., Settings], replayed: Replay, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with embedded_broker(tmp_path / "broker") as own:
        mortal = settings(broker=own.address, topics={"partitions": 3})
        topic_io.make_topics(mortal)

        def source() -> Iterator[Chunk]:
            yield chunk(0)
            own.stop()
            yield chunk(1)

        code, _, stderr = replayed(mortal, source(), "--rate", "6000", "--no-flush")
        own.restart()
        there = written(mortal)
    acknowledged = re.search(r"Stopped early: ([\d,]+) records were written", stderr)
    assert code == 3
    assert acknowledged is not None, stderr
    assert SIZE / 2 < int(acknowledged[1].replace(",", "")) <= there < 2 * SIZE, stderr
    assert "all of them up to a.csv, line " in stderr
    gc.collect()
    assert "never retrieved" not in caplog.text, "one sentence, and no trace of every batch under way"


def test_of_a_small_file_without_an_event_nothing_is_written(made: Settings, replayed: Replay) -> None:
    code, _, stderr = replayed(made, [chunk(0, bad=range(SIZE)), Chunk([], 1.0)])
    assert code == 2
    assert stderr.splitlines()[-2] == "Stopped early: nothing was written"
    assert stderr.splitlines()[-1].startswith("sie: none of the 3,000 records is a valid event: user_id, item_id, ")
    assert written(made) == 0


def test_of_a_large_one_what_was_written_before_is_told(made: Settings, replayed: Replay) -> None:
    code, _, stderr = replayed(made, [chunk(n, bad=range(SIZE)) for n in range(3)])
    assert code == 2
    assert "Stopped early: 6,000 records were written and acknowledged, all of them up to a.csv, line 6001\n" in stderr
    assert "none of the 9,000 records is a valid event" in stderr
    assert written(made) == 6_000


def test_a_first_chunk_without_an_event_is_written_before_the_others(made: Settings, replayed: Replay) -> None:
    code, out, stderr = replayed(made, [chunk(0, bad=range(SIZE)), chunk(1, bad=[7]), Chunk([], 1.0)], "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["records"], found["heartbeats"]) == (6_000, 3)
    assert found["dead_letters_by_reason"] == {"missing_field": 3_001}
    assert [one["place"] for one in found["dead_letter_examples"]["missing_field"]] == [
        f"a.csv, line {n}" for n in (2, 3, 4)
    ]
    assert "missing_field: 3,001, the first:\n  a.csv, line 2: " in stderr
    assert written(made) == 6_003


def test_strict_writes_nothing_of_the_chunk_with_the_first_dead_letter(made: Settings, replayed: Replay) -> None:
    code, _, stderr = replayed(made, [chunk(0), chunk(1, bad=[7, 9])], "--strict")
    assert code == 2
    assert stderr.splitlines()[-2].endswith("all of them up to a.csv, line 3001")
    assert stderr.splitlines()[-1].startswith("sie: a.csv, line 3009: missing_field: ")
    assert written(made) == 3_000


def test_a_purchase_that_comes_after_its_views_have_settled_is_told_and_what_to_do(
    made: Settings, replayed: Replay
) -> None:
    late = event(9_999, "purchase", at_s=-7_200.0, user="u1")
    rows = [*(good(n) for n in range(10)), WireRecord(b"u1", json.dumps(late).encode())]
    code, _, stderr = replayed(made, [Chunk(rows, 1.0)])
    assert code == 0
    assert "Note: late events: 1, by up to 2 h, among them conversions and returns: 1." in stderr
    assert "raise labels.lateness_s (now 0 s)" in stderr
