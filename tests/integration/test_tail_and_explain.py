"""``sie tail`` and ``sie explain`` on the embedded broker: their output is a contract with scripts."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiokafka.admin import NewTopic

from models.forward import IMPORTANCE, scores
from models.inputs import label_known
from models.samples import from_table
from sie_online import contracts, statements
from sie_online.client.subsample import subsample
from sie_online.features import N_DENSE, N_FEATURES, schema_hash
from sie_online.ingest.events import DeadLetter, Reason
from sie_online.settings import Settings
from streams.cli.root import run
from streams.cli.views import VIEWS
from streams.model_registry import artifacts
from streams.model_registry.announcer import Announcer
from streams.store import open_store
from streams.topics import create_topics
from streams.worker.publisher import dead_letter
from tests.support.brokers import ROOT, Broker
from tests.support.environment import as_environment
from tests.support.nets import random_version
from tests.support.rows import sample_batch, weight_message, weight_row
from tests.support.topic_io import administrate, publish

pytestmark = pytest.mark.embedded
SettingsFactory = Callable[..., Settings]

WAIT_S = 30


@pytest.fixture
def published(broker: Broker, settings: SettingsFactory) -> Settings:
    """Topics with a replayed and revised event, samples, entities and a dead letter."""
    made = settings(broker=broker.address)
    topics = made.topics
    names = [topics.weights, topics.samples, topics.entities, topics.recs, topics.dead_letters]
    replayed = weight_row(0, generation=2, weight=1.25, f_noise=-0.25)
    final = weight_row(0, 1, generation=2, final=True, label=1, error=0.75, weight=2.0, f_noise=0.5, f_clip=-0.25)
    letter = DeadLetter(9, 1_700_000_000_000, Reason.BAD_JSON, "not \x1b[31mJSON", b"k", b"\xff\x1b" * 90_000, [])
    key, value, headers = dead_letter(topics.events, 1, letter)
    entity = statements.encode("user", b"ann", 0, statements.EntityState(4, 2.0, 1.0, 3.0, 0, 17, "builtin"))

    lists = [
        statements.encode_recommendations(statements.Recommendations("ann", [item, "b"], 1_700_000_000_000, 0, at, 1))
        for at, item in enumerate(("a", "\x1b[31m"))
    ]

    async def prepare() -> None:
        await administrate(made, lambda admin: admin.create_topics([NewTopic(name, 2, 1) for name in names]))
        await publish(
            made, topics.weights, weight_message(weight_row(0), weight_row(1)), weight_message(replayed, final)
        )
        await publish(made, topics.weights, weight_message(weight_row(5, partition=1)), partition=1)
        await publish(made, topics.samples, contracts.to_message(sample_batch(0)))
        await publish(made, topics.entities, entity[1], key=entity[0])
        for made_for, made_list in (*lists, (b"user:bob", None)):
            await publish(made, topics.recs, made_list, key=made_for)
        await publish(made, topics.dead_letters, value, key=key, headers=headers)

    asyncio.run(prepare())
    return made


@dataclass(frozen=True)
class Done:
    """What one call of ``sie`` came to."""

    code: int
    out: str
    err: str

    def documents(self) -> list[dict[str, Any]]:
        """Standard output as one JSON document per line."""
        assert self.code == 0, self.err
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def sie(
    published: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """``sie`` as a function of its arguments, within this process."""
    for name, value in as_environment(published).items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> Done:
        code = run(arguments)
        return Done(code, *capsys.readouterr())

    return call


def test_tail_json_writes_every_statement_as_published(sie: Callable[..., Done]) -> None:
    rows = sie("tail", "weights", "--json", "--until-idle", "0.5").documents()
    stated = sorted((row["partition"], row["offset"], row["revision"], row["generation"]) for row in rows)
    assert stated == [(0, 0, 0, 1), (0, 0, 0, 2), (0, 0, 1, 2), (0, 1, 0, 1), (1, 5, 0, 1)]
    assert set(rows[0]) == set(contracts.WEIGHTS.names)


def test_tail_parquet_writes_the_newest_statement_of_each_identity(sie: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "weights.parquet"
    done = sie("tail", "weights", "--parquet", str(path), "--until-idle", "0.5")
    assert done.code == 0, done.err
    assert done.out == ""
    table = pq.read_table(path)
    assert table.schema.names == contracts.WEIGHTS.names
    columns = [table[name].to_pylist() for name in (*contracts.WEIGHT_KEY, "generation", "weight")]
    assert list(zip(*columns, strict=True)) == [
        (0, 0, 0, 2, 1.25),
        (0, 0, 1, 2, 2.0),
        (0, 1, 0, 1, 1.0),
        (1, 5, 0, 1, 1.0),
    ]


@pytest.mark.parametrize("kind", ["weights", "samples", "entities", "recs", "dead-letters"])
def test_tail_shows_each_topic_as_lines_json_and_parquet(sie: Callable[..., Done], tmp_path: Path, kind: str) -> None:
    lines = sie("tail", kind, "--until-idle", "0.5")
    assert lines.code == 0, lines.err
    assert len(lines.out.splitlines()) >= 2  # heading and a row
    assert "\x1b" not in lines.out
    assert sie("tail", kind, "--json", "--limit", "1").documents()
    path = tmp_path / "table.parquet"
    assert sie("tail", kind, "--parquet", str(path), "--until-idle", "0.5").code == 0
    assert len(pq.read_table(path)) >= 1


def test_tail_recs_tells_every_list_and_the_table_has_each_users_newest(
    sie: Callable[..., Done], tmp_path: Path
) -> None:
    rows = sie("tail", "recs", "--json", "--until-idle", "0.5").documents()
    assert [(row["user_id"], row["items"]) for row in rows] == [
        ("ann", ["a", "b"]),
        ("ann", ["\x1b[31m", "b"]),
        ("bob", None),
    ]
    path = tmp_path / "recs.parquet"
    assert sie("tail", "recs", "--parquet", str(path), "--until-idle", "0.5").code == 0
    assert pq.read_table(path).to_pylist() == rows[1:2]
    assert "erased" in sie("tail", "recs", "--until-idle", "0.5").out


def test_a_limit_counts_the_rows_that_are_written(sie: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "weights.parquet"
    for limit in (1, 2, 3, 4):  # of five statements of which one is a repeat
        done = sie("tail", "weights", "--parquet", str(path), "--limit", str(limit), "--until-idle", "5")
        assert done.code == 0, done.err
        assert len(pq.read_table(path)) == limit
    assert len(sie("tail", "weights", "--json", "--limit", "3").documents()) == 3


def test_a_budget_thins_the_table_of_samples(sie: Callable[..., Done], published: Settings, tmp_path: Path) -> None:
    batch = sample_batch(*range(1, 401))
    label = pa.array([offset % 50 == 0 for offset in range(400)]).cast(pa.int8())
    batch = batch.set_column(at := batch.schema.get_field_index("label"), batch.schema.field(at), label)
    asyncio.run(publish(published, published.topics.samples, contracts.to_message(batch)))
    whole, thinned = tmp_path / "whole.parquet", tmp_path / "thinned.parquet"
    assert sie("tail", "samples", "--parquet", str(whole), "--until-idle", "0.5").code == 0
    done = sie("tail", "samples", "--parquet", str(thinned), "--until-idle", "0.5", "--budget", "0.1")
    assert (done.code, "40 rows of 401 read" in done.err) == (0, True), done.err
    assert pq.read_table(thinned).equals(subsample(pq.read_table(whole), 0.1))
    full = sie("tail", "samples", "--parquet", str(thinned), "--until-idle", "0.5", "--budget", "0.01")
    assert (full.code, "leave room for negatives" in full.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("weights", "--parquet", "x.parquet", "--until-idle", "1", "--budget", "0.1"), "table of samples"),
        (("samples", "--until-idle", "1", "--budget", "0.1"), "table of samples"),
        (("samples", "--parquet", "x.parquet", "--limit", "9", "--budget", "0.1"), "--until-idle"),
        (("samples", "--parquet", "x.parquet", "--until-idle", "1", "--budget", "0"), "above 0 and at most 1"),
    ],
    ids=["weights", "lines", "limit", "nothing"],
)
def test_a_budget_that_cannot_work_is_refused(sie: Callable[..., Done], arguments: tuple[str, ...], said: str) -> None:
    done = sie("tail", *arguments)
    assert (done.code, said in done.err) == (2, True), done.err


def test_tail_shows_of_a_dead_letter_why_whence_and_a_harmless_excerpt(sie: Callable[..., Done]) -> None:
    (letter,) = sie("tail", "dead-letters", "--json", "--until-idle", "0.5").documents()
    assert (letter["reason"], letter["source_partition"], letter["source_offset"]) == ("bad_json", 1, 9)
    assert letter["value_bytes"] == 180_000
    assert letter["value"].startswith("\\xff\\x1b")
    assert len(letter["value"]) < 1_000


@pytest.mark.parametrize(
    "arguments",
    [("--parquet", "x.parquet"), ("--parquet", "nowhere/x.parquet", "--limit", "1"), ("--json", "--parquet", "x")],
    ids=["without-an-end", "without-a-directory", "twice"],
)
def test_tail_refuses_what_cannot_work(sie: Callable[..., Done], arguments: tuple[str, ...]) -> None:
    done = sie("tail", "weights", *arguments)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_what_cannot_be_read_is_counted_and_passed_over_unless_strict(
    sie: Callable[..., Done], published: Settings, tmp_path: Path
) -> None:
    topics, path = published.topics, tmp_path / "table.parquet"
    readable = {kind: len(sie("tail", kind, "--json", "--until-idle", "0.5").documents()) for kind in VIEWS}
    for topic in (topics.weights, topics.samples, topics.entities, topics.recs, topics.dead_letters):
        asyncio.run(publish(published, topic, weight_message(weight_row(0))[:-50], key=b"no key of ours"))
    for kind, rows in readable.items():
        done = sie("tail", kind, "--json", "--until-idle", "0.5")
        assert len(done.documents()) == rows
        assert "1 unreadable messages passed over" in done.err
        assert sie("tail", kind, "--parquet", str(path), "--until-idle", "0.5").code == 0
        strict = sie("tail", kind, "--strict", "--until-idle", "0.5")
        assert (strict.code, "partition 0, offset" in strict.err) == (2, True)
    assert sie("explain", "event-0-0", "--json").documents()[0]["weight"] == 2.0
    assert sie("explain", "event-0-0", "--strict").code == 2


@pytest.fixture
def following(published: Settings) -> Iterator[subprocess.Popen[str]]:
    """``sie tail weights --json``, following."""
    command = [sys.executable, "-c", "from streams.cli import main; main()", "tail", "weights", "--json"]
    process = subprocess.Popen(
        [*command, "--from", "earliest"],
        cwd=ROOT,
        env=as_environment(published),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_interrupting_tail_is_clean(following: subprocess.Popen[str]) -> None:
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["offset"] in (0, 5)  # it has begun
    following.send_signal(signal.SIGINT)
    _, errors = following.communicate(timeout=WAIT_S)
    assert following.returncode == 130
    assert "Traceback" not in errors


def test_explain_tells_scores_shares_and_revisions(sie: Callable[..., Done]) -> None:
    (explained,) = sie("explain", "event-0-0", "--json").documents()
    assert (explained["label"], explained["weight"], explained["final"]) == (1, 2.0, True)
    assert explained["factors"]["noise"]["share"] == pytest.approx(2 / 3)
    assert sum(factor["share"] for factor in explained["factors"].values()) == pytest.approx(1)
    assert [(row["revision"], row["generation"]) for row in explained["revisions"]] == [(0, 2), (1, 2)]


def test_explain_draws_each_parts_share(sie: Callable[..., Done]) -> None:
    done = sie("explain", "event-0-0", "--since", "1h")
    assert done.code == 0, done.err
    noise = next(line for line in done.out.splitlines() if line.startswith("noise"))
    assert "67%" in noise
    assert "│████████████" in noise


def test_explain_says_how_far_it_looked_for_an_unknown_event(sie: Callable[..., Done]) -> None:
    done = sie("explain", "nobody", "--since", "earliest")
    assert done.code == 2
    assert "5 rows in 3 messages" in done.err
    assert done.out == ""


def test_explain_says_why_no_net_explains_a_weight(sie: Callable[..., Done]) -> None:
    (explained,) = sie("explain", "event-0-0", "--json").documents()
    assert explained["influence"] is None
    assert explained["influence_unknown"] == "no net was in force when it settled"
    (explained,) = sie("explain", "event-0-1", "--json").documents()
    assert explained["influence_unknown"] == "the event has not settled yet"


async def _under_a_net(settings: Settings) -> float:
    """A settled sample at offset 7 under an announced net; f of it. At 9 another, whose row of the samples is gone."""
    data, manifest = random_version()
    announcer = Announcer(settings, open_store(settings.store))
    await announcer.start()
    try:
        await announcer.publish(data, manifest, judged_at=0)
    finally:
        await announcer.stop()
    sample = sample_batch(7, n_features=N_FEATURES, n_dense=N_DENSE).replace_schema_metadata(
        {"feature_schema_hash": schema_hash()}
    )
    columns = from_table(pa.Table.from_batches([sample]))
    weights = artifacts.load(open_store(settings.store), manifest)
    (f,) = scores(weights, label_known(columns, weights.buckets))[:, IMPORTANCE]
    final = {"final": True, "label": 1, "error": 0.75, "model_version": manifest.version}
    rows = [
        weight_row(offset, 1, **final, f_influence=math.log(f / manifest.mean_f))  # k = 1
        for offset in (7, 9)
    ]
    await publish(settings, settings.topics.weights, weight_message(*rows))
    await publish(settings, settings.topics.samples, contracts.to_message(sample_batch(6, 8)))  # of older features
    await publish(settings, settings.topics.samples, contracts.to_message(sample))
    return float(f)


def test_explain_shows_which_inputs_moved_f(sie: Callable[..., Done], published: Settings) -> None:
    asyncio.run(create_topics(published))
    f = asyncio.run(_under_a_net(published))
    (explained,) = sie("explain", "event-0-7", "--json").documents()
    found = explained["influence"]
    assert explained["influence_unknown"] is None
    assert found["f"] == pytest.approx(f, abs=1e-5)
    assert math.log(found["f"] / found["mean_f"]) == pytest.approx(explained["factors"]["influence"]["log"], abs=1e-4)
    moved = sum(each["logit"] for each in found["contributions"])
    assert moved == pytest.approx(found["logit"] - found["baseline_logit"], abs=1e-9)
    assert found["contributions"][0]["name"] in sie("explain", "event-0-7").out
    assert explained["noise_model"] == {"version": "builtin", "announcement": 0}
    (recomputed,) = sie("explain", "event-0-7", "--evidence", "--json").documents()
    assert recomputed["noise_unknown"] == "the log of partition 0 does not reach from 0 to 7"
    (explained,) = sie("explain", "event-0-9", "--json").documents()
    assert explained["influence_unknown"].endswith("retention has cut it")
    shutil.rmtree(published.store.removeprefix("file://"))
    (explained,) = sie("explain", "event-0-7", "--json").documents()
    assert explained["influence_unknown"].endswith("is gone from the store")
