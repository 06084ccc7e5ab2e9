"""Files as they lie about: compressed, in archives and folders, by globs, on standard input, and out of order."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.errors import UsageError
from sie_online.ingest.sources import Reading, read_events
from tests.support.event_files import HEAD, T, csv, made, outcome, read, table, write

Compress = Callable[[bytes], bytes]


def row(n: int) -> str:
    return f"e{n},u1,i1,view,{T + n}"


def lines(*numbers: int) -> str:
    return "".join(json.dumps(made(n)) + "\n" for n in numbers)


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


def zipped(**members: str | bytes) -> bytes:
    """An archive; a name's ``__`` is a dot."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return sink.getvalue()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(table(), sink)
    return sink.getvalue()


COMPRESS: dict[str, Compress] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}
CONTENTS = {"csv": csv(row(1), row(2), row(3)).encode(), "jsonl": lines(1, 2, 3).encode(), "parquet": parquet()}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("suffix", COMPRESS)
def test_every_format_may_be_compressed(tmp_path: Path, suffix: str, kind: str) -> None:
    found = read(tmp_path, f"e.{kind}.{suffix}", COMPRESS[suffix](CONTENTS[kind]))
    assert found.ids == ["e1", "e2", "e3"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("e.tsv", "csv"), ("E.CSV", "csv"), ("e.ndjson", "jsonl"), ("e.json", "jsonl"), ("e.pq", "parquet")],
)
def test_names_of_formats(tmp_path: Path, name: str, kind: str) -> None:
    content = CONTENTS[kind].replace(b",", b"\t") if name == "e.tsv" else CONTENTS[kind]
    write(tmp_path / "log" / name, content)
    assert outcome(tmp_path / "log").ids == outcome(tmp_path / "log" / name).ids == ["e1", "e2", "e3"]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_that_were_put_together_are_read_to_their_end(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESS[suffix]
    found = read(tmp_path, f"e.jsonl.{suffix}", compress(lines(1, 2).encode()) + compress(lines(3).encode()))
    assert found.ids == ["e1", "e2", "e3"]


def test_a_zip_archive_of_one_file_and_one_of_several(tmp_path: Path) -> None:
    assert read(tmp_path, "one.zip", zipped(e__csv=csv(row(1)))).ids == ["e1"]
    several = zipped(part10__csv=csv(row(3)), part2__jsonl=lines(2), a__parquet=parquet(), _SUCCESS="", __hidden="x")
    found = read(tmp_path, "several.zip", several)
    assert found.ids == ["e1", "e2", "e3", "e2", "e3"]
    assert found.places[3:] == [
        f"{tmp_path / 'several.zip'}/part2.jsonl, line 1", f"{tmp_path / 'several.zip'}/part10.csv, line 2",
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_compressed_file_that_is_cut_is_refused_by_name(tmp_path: Path, suffix: str, kind: str) -> None:
    content = COMPRESS[suffix](CONTENTS[kind])
    with pytest.raises(UsageError, match=rf"e\.{kind}\.{suffix}\b.*(cut off|to its end)"):
        read(tmp_path, f"e.{kind}.{suffix}", content[: len(content) * 2 // 3])


def test_what_a_cut_file_still_holds_comes_before_the_refusal(tmp_path: Path) -> None:
    content = gzip.compress(csv(*map(row, range(100_000))).encode(), 1)
    path, records = write(tmp_path / "e.csv.gz", content[: len(content) * 3 // 4]), 0
    with pytest.raises(UsageError, match="is cut off"):
        for chunk in read_events([path]):
            records += len(chunk)
    assert records > 1_000


def test_cut_archives_and_parquet_files_are_refused(tmp_path: Path) -> None:
    archive = zipped(e__csv=csv(*map(row, range(500))))
    with pytest.raises(UsageError, match=r"e\.zip is no readable zip archive, or is cut off"):
        read(tmp_path, "e.zip", archive[: len(archive) // 2])
    with pytest.raises(UsageError, match=r"e\.parquet is no readable Parquet file, or is cut off"):
        read(tmp_path, "e.parquet", parquet()[:-100])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("e.csv", gzip.compress(b"x"), r"compressed \(gzip\) .*name it .*e\.csv\.gz"),
        ("e.csv", bz2.compress(b"x"), r"compressed \(bzip2\) .*name it .*e\.csv\.bz2"),
        ("e.jsonl", zstd(b"x"), r"compressed \(Zstandard\) .*name it .*e\.jsonl\.zst"),
        ("e.csv", zipped(e__csv="x"), r"compressed \(zip\) .*name it .*e\.csv\.zip"),
        ("e.csv.gz", CONTENTS["csv"], r"e\.csv\.gz is no gzip file, .*if it is not compressed"),
        ("e.csv.gz", bz2.compress(b"x"), r"e\.csv\.gz is no gzip file, .*it is bzip2"),
        ("e.csv.zst", b"", r"e\.csv\.zst is empty"),
        ("e.zip", b"no archive", r"e\.zip is no readable zip archive"),
        ("e.zip", zipped(), r"e\.zip holds no file"),
        ("e.parquet", CONTENTS["csv"], r"e\.parquet is no readable Parquet"),
        ("e.csv", CONTENTS["parquet"], r"e\.csv"),
    ],
    ids=lambda one: one if isinstance(one, str) and len(one) < 10 else "",
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(tmp_path, name, content)


def test_tar_archives_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "e.csv", csv(row(1)))
    for name, mode in (("e.tar.gz", "w:gz"), ("e.tar", "w")):
        with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]  # mode is one of two
            archive.add(tmp_path / "e.csv", "e.csv")
        with pytest.raises(UsageError, match=rf"{name} is a tar archive: unpack it"):
            outcome(tmp_path / name)


def test_the_partitions_of_hive_are_columns(tmp_path: Path) -> None:
    plain = table(2).drop_columns(["event_type"])
    write(tmp_path / "log" / "dt=2024-01-01" / "event_type=view" / "part-0.parquet", plain)
    write(tmp_path / "log" / "dt=2024-01-02" / "event_type=click" / "part-0.csv", csv(row(3)))
    bare = csv(f"e4,u1,i1,{T + 4}", head=HEAD.replace("event_type,", ""))
    write(tmp_path / "log" / "dt=2024-01-03" / "event_type=cart" / "part-0.csv.gz", gzip.compress(bare.encode()))
    found = outcome(tmp_path / "log")
    assert found.events == [made(1), made(2), made(3), made(4, event_type="cart")]
    mapped = outcome(tmp_path / "log", columns={"session_id": "dt"})
    assert [event["session_id"] for event in mapped.events] == ["2024-01-01"] * 2 + ["2024-01-02", "2024-01-03"]


def test_partitions_unquote_and_the_default_one_is_null(tmp_path: Path) -> None:
    write(tmp_path / "category_id=a%2Fb" / "e.csv", csv(row(1)))
    write(tmp_path / "category_id=__HIVE_DEFAULT_PARTITION__" / "e.csv", csv(row(2)))
    found = outcome(tmp_path)
    assert sorted(event.get("category_id", "") for event in found.events) == ["", "a/b"]


def test_json_in_a_partition_has_its_columns(tmp_path: Path) -> None:
    event = {name: value for name, value in made().items() if name != "event_type"}
    write(tmp_path / "event_type=click" / "e.jsonl", json.dumps(event) + "\n")
    assert outcome(tmp_path).events == [made(event_type="click")]


def test_a_folder_is_read_by_name_with_numbers_as_numbers_and_without_what_is_hidden(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log / "part-10.csv", csv(row(4)))
    write(log / "part-2.jsonl", lines(3))
    write(log / "part-1.parquet", table(1))
    write(log / "part-1" / "b.csv", csv(row(2)))
    for name in ("_SUCCESS", ".part-3.csv.crc", "_temporary/0.csv", ".hidden.csv", "README.md", "e.truth.parquet"):
        write(log / name, "of no matter")
    assert outcome(log).ids == ["e1", "e2", "e3", "e4"]


def test_a_folder_without_an_event_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "log" / "_SUCCESS", "")
    with pytest.raises(UsageError, match=r"folder .*log holds no event file"):
        outcome(tmp_path / "log")


def test_globs(tmp_path: Path) -> None:
    for n, name in enumerate(("2024-10.csv", "2024-9.csv", "2025-1.csv"), 1):
        write(tmp_path / name, csv(row(n)))
    write(tmp_path / "deep" / "er" / "2024-11.csv", csv(row(4)))
    assert outcome(str(tmp_path / "2024-*.csv")).ids == ["e2", "e1"]
    assert outcome(str(tmp_path / "202?-1*.csv")).ids == ["e1", "e3"]
    assert sorted(outcome(str(tmp_path / "**" / "2024-1*.csv")).ids) == ["e1", "e4"]
    with pytest.raises(UsageError, match=r"no file is named like .*1999"):
        outcome(str(tmp_path / "1999-*.csv"))


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    assert read(tmp_path, "e[1].csv", csv(row(1))).ids == ["e1"]


def test_several_files_are_read_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, csv(row(n))) for n, name in enumerate(("b.csv", "a.csv"), 1)]
    found = outcome([*paths, write(tmp_path / "c.parquet", table(1))])
    assert found.ids == ["e1", "e2", "e1"]
    assert found.places[2] == f"{tmp_path / 'c.parquet'}, row 1 (row group 0)"
    assert outcome([*paths, tmp_path / "c.parquet"], limit=2).ids == ["e1", "e2"]


def test_a_name_that_says_nothing_is_read_as_its_content_looks(tmp_path: Path) -> None:
    array = json.dumps([made(1), made(2), made(3)])
    for name, content in {**CONTENTS, "array": array.encode()}.items():
        assert read(tmp_path, f"{name}-log.dat", content).ids == ["e1", "e2", "e3"]
    assert read(tmp_path, "e.txt", CONTENTS["jsonl"], format="jsonl").ids == ["e1", "e2", "e3"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", CONTENTS)
def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, packed: bool) -> None:
    content = gzip.compress(CONTENTS[kind]) if packed else CONTENTS[kind]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(content))))
    found = outcome("-")
    assert found.ids == ["e1", "e2", "e3"]
    assert all(place.startswith("standard input, ") for place in found.places)


def test_arrays_of_json_that_are_cut_or_broken_are_refused_with_their_line(tmp_path: Path) -> None:
    array = json.dumps([made(1), made(2)], indent=1)
    for text, says in ((array[:-2], "is cut off"), (array[:-20], "line 9: .* no JSON"), ("[]x", "")):
        if says:
            with pytest.raises(UsageError, match=rf"e\.json.*{says}"):
                read(tmp_path, "e.json", text)
        else:
            assert not read(tmp_path, "e.json", text).events


def test_sorted_rows_take_their_lines_and_faults_with_them(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", csv(row(5), "ragged", row(1), "e9,u1,i1,view,soon"))
    second = write(tmp_path / "b.parquet", table(4))
    found = outcome([first, second], sort=True)
    assert found.ids == ["e1", "e1", "e2", "e3", "e4", "e5"]
    a, b = tmp_path / "a.csv", tmp_path / "b.parquet"
    assert found.places == [
        f"{a}, line 4", f"{a}, line 5", f"{b}, row 1 (row group 0)", f"{b}, row 2 (row group 0)",
        f"{b}, row 3 (row group 0)", f"{b}, row 4 (row group 0)", f"{a}, line 2", f"{a}, line 3",
    ]  # fmt: skip
    assert found.dead == [(5, "wrong_type"), (3, "wrong_type")]
    assert found.faults == {3: "1 fields where 5 belong"}


def test_sorting_is_stable_over_many_chunks_and_counts_what_is_left_out(tmp_path: Path) -> None:
    rows = [f"e{n},u1,i1,{'noise' if n % 10 == 0 else 'view'},{T + n // 7}" for n in range(20_000)]
    path = write(tmp_path / "e.csv", csv(*rows[9_996:], *rows[:9_996]))
    found = outcome(path, sort=True, types={"noise": "skip"})
    assert found.ids == [f"e{n}" for n in range(20_000) if n % 10]
    assert found.skipped == 2_000
    chunks = list(read_events([path], Reading(sort=True)))
    shares = [chunk.progress for chunk in chunks]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_pipe_has_no_name_to_go_by(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    packed = gzip.compress(csv("e1,u1,i1,view,1750000000001").encode())
    writer = threading.Thread(target=pipe.write_bytes, args=(packed,))
    writer.start()
    assert [event["event_id"] for event in outcome(pipe).events] == ["e1"]
    writer.join()
