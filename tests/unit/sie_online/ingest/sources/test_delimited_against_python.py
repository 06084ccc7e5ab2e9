"""The reader of CSV reads what Python's ``csv`` module reads, row by row and line by line, over every block's edge."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.ingest.sources import delimited
from tests.fuzz.csv_files import TRUE_SIZE, CsvFile, csv_file, difference

BIG, SMALL, SMALL_SIZE = 12, 480, 24_000
LOT = 40
HEADER = "event_id,user_id,item_id,event_type,timestamp_ms,query\n"
FIRST = "e0,u0,i0,view,1700000000000,\n"


@pytest.mark.parametrize("seed", range(BIG))
def test_files_beyond_a_block_read_as_csv_reads_them(seed: int, tmp_path: Path) -> None:
    assert not difference(csv_file(seed, TRUE_SIZE), tmp_path / "events.csv", said=seed % 2 == 0)


@pytest.mark.parametrize("first", range(10_000, 10_000 + SMALL, LOT))
def test_files_of_many_small_blocks_read_as_csv_reads_them(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(first, first + LOT):
        monkeypatch.setattr(delimited, "BLOCK_CHARS", random.Random(seed).choice((256, 1_000, 4_096)))
        found = difference(csv_file(seed, SMALL_SIZE), tmp_path / "events.csv", said=seed % 2 == 0)
        assert not found, f"seed {seed}: {found}"


@given(
    body=st.lists(
        st.sampled_from([*'a,"\n\r', '",', '"\n', '""', "e1,u1,i1,view,1700000000001,", "\r\n"]), max_size=40
    ),
    block=st.integers(1, 40),
)
@settings(max_examples=400)
def test_whatever_follows_a_header_reads_as_csv_reads_it(
    body: list[str], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = CsvFile(HEADER + FIRST + "".join(body))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_CHARS", block)
        assert not difference(file, tmp_path_factory.getbasetemp() / "any.csv", said=True)


def test_the_comparison_sees_a_lost_row_and_a_shifted_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = CsvFile(HEADER + FIRST + FIRST)
    for other in (HEADER + FIRST, HEADER + "\n" + FIRST + FIRST):
        monkeypatch.setattr(CsvFile, "write", lambda _, path, text=other: path.write_text(text))
        assert "record" in difference(file, tmp_path / "events.csv", said=True)
