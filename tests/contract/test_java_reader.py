"""Java reads, to the bit, what Python wrote: in every layout, of old versions and of today's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sie_online import contracts, ndjson_text
from sie_online.client.rows import SAMPLES, Source, read_batch
from sie_online.errors import MessageError
from sie_online.shard import ShardOutput
from tests.contract.golden_files import DIRECTORY
from tests.contract.golden_files import rows as golden_rows
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS
from tests.support import java_reader
from tests.support.events import process, random_events, samples, weights
from tests.support.hostile_messages import HOSTILE
from tests.support.java_reader import Row

GOLDEN = ("weights-1", "samples-1", "weights-packed-1", "samples-packed-1")
LAYOUTS = ("1", "2", "json")
pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    java_reader.build()


@pytest.fixture(scope="module")
def outputs() -> list[ShardOutput]:
    """Weights and samples of a shard; some ids are none that a terminal or a parser likes."""
    events = random_events(400, seed=3)
    hostile = {"u1": 'say "no"\n\x1b[2J', "u2": "猫\u2028\\", "u3": "é" * 60}
    return process([event | {"user_id": hostile.get(event["user_id"], event["user_id"])} for event in events])


def written(folder: Path, outputs: list[ShardOutput], stream: str, layout: str) -> Iterator[str]:
    """Files that hold a message each."""
    for number, output in enumerate(outputs):
        framed = output.framed if stream == "weights" else output.gathered.framed
        if layout == "2":
            messages = list(framed.messages)
        elif not len(framed):
            messages = []
        else:
            messages = [contracts.to_message(framed.batch)]
            if layout == "json":
                messages = list(ndjson_text.messages(framed.batch, 20_000))
        for part, message in enumerate(messages):
            path = folder / f"{number:04}-{part:04}"
            path.write_bytes(message)
            yield str(path)


def bits(row: Row) -> Row:
    """``row`` with floats by their digits, those of ``dense`` as float32."""
    found = {name: repr(value) if isinstance(value, float) else value for name, value in row.items()}
    return found | ({"dense": np.array(row["dense"], np.float32).tolist()} if "dense" in row else {})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_java_reads_every_layout_as_python_does(layout: str, outputs: list[ShardOutput], tmp_path: Path) -> None:
    expected: list[Row] = []
    files: list[str] = []
    for stream, table in (("weights", weights(outputs)), ("samples", samples(outputs))):
        (tmp_path / stream).mkdir()
        files += written(tmp_path / stream, outputs, stream, layout)
        expected += table.to_pylist()
        assert len(table) > 100
    read = java_reader.rows("files", *files)
    assert [list(row) for row in read] == [list(row) for row in expected]
    assert list(map(bits, read)) == list(map(bits, expected))


def test_java_reads_golden_files_and_codes_of_any_width(tmp_path: Path) -> None:
    files = [DIRECTORY / f"{name}.arrow" for name in GOLDEN] + [
        DIRECTORY / f"{name}.ndjson" for name in ("weights-json-1", "samples-json-1")
    ]
    expected = [row for name in (*GOLDEN, "weights-1", "samples-1") for row in golden_rows(name)]
    read = java_reader.rows("files", *map(str, files))
    assert list(map(bits, read)) == list(map(bits, expected))


def test_java_says_of_what_is_no_message_why(tmp_path: Path) -> None:
    path = tmp_path / "message"
    for content in (contracts.to_message(pa.record_batch({"n": [1]}))[:50], b"{\n"):
        path.write_bytes(content)
        with pytest.raises(AssertionError, match=r"sie\.reader\.MessageException"):
            java_reader.rows("files", str(path))


def crowded() -> bytes:
    """Few bytes of message, of which far too many values would become."""
    columns = {f"flag{at}": pa.array([True] * 65_000) for at in range(200)}
    return contracts.to_message(pa.record_batch(columns))


def test_java_answers_or_refuses_whatever_it_is_given_with_little_memory() -> None:
    """Hostile messages, and damaged ones by the same mutations that Python's readers are tried with (tests/fuzz): never
    rows that Python refuses or that are others, never another exception, nothing kept outside the heap."""
    hostile = [message for make in HOSTILE.values() if (message := make()) is not None]
    rng, target = random.Random(1), TARGETS["rows"]
    seeds = target.seeds()
    damaged = [mutated(rng, seeds, target.mutations) for _ in range(2_000)]
    said = java_reader.outcomes([*hostile, crowded(), *damaged, *seeds])
    assert said.most_bytes < 64 << 20
    refused, answers = said.each[: len(hostile) + 1], said.each[len(hostile) + 1 :]
    assert all(isinstance(why, str) and why.isprintable() and len(why) <= 200 for why in refused)
    alike = 0
    for message, answer in zip([*damaged, *seeds], answers, strict=True):
        if not isinstance(answer, str) and (expected := by_python(message)) is not None:
            assert list(map(known, answer)) == list(map(known, expected))
            alike += 1
    assert alike > 60
    assert sum(isinstance(answer, str) for answer in answers[-len(seeds) :]) == 2  # those that are compressed


def by_python(message: bytes) -> list[Row] | None:
    """Its rows; None where it is no flatbuffer, of which Java looks only at what it needs."""
    errors = []
    for schema in (contracts.WEIGHTS, SAMPLES):
        try:
            return read_batch(message, Source("topic", 0, 0), schema).to_pylist()
        except MessageError as error:
            errors.append(str(error))
    assert all("flatbuffer" in error for error in errors), errors
    return None


def known(row: Row) -> Row:
    """What is not null of it: Java leaves out parts of log weight that an older worker did not know."""
    return {name: value for name, value in bits(row).items() if value is not None}
