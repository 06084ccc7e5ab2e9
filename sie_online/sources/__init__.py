"""Event files as wire records: Parquet, CSV and JSON lines in the documented schema, and the raw Taobao log.

Owns reading files in chunks with bounded memory, the names and types of their columns, and the encoding of a row as
the JSON value of an event. Judges only whether a row has the shape of an event; what its values may be is for
``events`` to say, exactly as for any other producer's records.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sie_online.contracts import EVENT_TYPES
from sie_online.errors import UsageError
from sie_online.sources.reading import Reading
from sie_online.wire import Chunk, WireRecord

CHUNK_ROWS = 8_192
CSV_BLOCK_BYTES = 1 << 20

REQUIRED: dict[str, pa.DataType] = {
    "event_id": pa.string(),
    "user_id": pa.string(),
    "item_id": pa.string(),
    "event_type": pa.string(),
    "timestamp_ms": pa.int64(),
}
OPTIONAL: dict[str, pa.DataType] = {
    "category_id": pa.string(),
    "session_id": pa.string(),
    "query": pa.string(),
    "position": pa.int64(),
    "propensity": pa.float64(),
    "price": pa.float64(),
    "dwell_ms": pa.float64(),
    "rating": pa.float64(),
}
"""Columns that are read where a file has them (and ``attributes``, see ``_attributes``); all others are ignored."""

TAOBAO_COLUMNS = ("user_id", "item_id", "category_id", "behavior", "seconds")
TAOBAO_BEHAVIOR = {"pv": "view", "buy": "purchase", "cart": "cart", "fav": "favorite"}

PRESETS = ("taobao",)

__all__ = ["CHUNK_ROWS", "PRESETS", "Reading", "read_events"]


class _Value(msgspec.Struct, omit_defaults=True):
    """The JSON value of an event, fields in the contract's order."""

    event_id: str
    user_id: str
    item_id: str
    event_type: str
    timestamp_ms: int
    category_id: str | None = None
    session_id: str | None = None
    query: str | None = None
    position: int | None = None
    propensity: float | None = None
    price: float | None = None
    dwell_ms: float | None = None
    rating: float | None = None
    attributes: Any = None


class _Line(msgspec.Struct):
    """What a line of a JSON-lines file must have; the line itself is sent as it is."""

    event_id: str | int
    user_id: str | int
    item_id: str | int
    event_type: Literal["impression", "view", "click", "cart", "favorite", "purchase", "return", "rating"]
    timestamp_ms: int


def read_events(
    files: Sequence[str | Path], reading: Reading | None = None, *, limit: int | None = None
) -> Iterator[Chunk]:
    """The records of an event file, in file order and chunks of at most ``CHUNK_ROWS``.

    The preset ``taobao`` reads Alibaba's UserBehavior.csv (no header; user, item, category, behaviour, Unix seconds)
    and numbers its rows ``t0``, ``t1``, … as event ids. ``limit`` ends after that many rows. ``.gz`` is understood for
    CSV and JSON lines.

    Raises:
        UsageError: no such file, unknown kind, a required column is missing (all of them are named), or a row is not
            an event (the row is named). The first three at once, the last one while iterating.
    """
    path, preset = Path(files[0]), (reading or Reading()).preset
    if preset not in ("", *PRESETS):
        raise UsageError(f"preset {preset!r} is unknown: {', '.join(PRESETS)}")
    if not path.is_file():
        raise UsageError(f"{path} is no file")
    return _limited(_reader(path, preset), limit)


def _reader(path: Path, preset: str) -> Iterator[Chunk]:
    kind = path.name.lower().removesuffix(".gz")
    if preset == "taobao":
        return _csv(path, list(TAOBAO_COLUMNS), _from_taobao)
    if kind.endswith((".parquet", ".pq")):
        return _parquet(path)
    if kind.endswith(".csv"):
        return _csv(path, None, lambda table, _row: table)
    if kind.endswith((".jsonl", ".ndjson")):
        return _json_lines(path)
    raise UsageError(f"{path}: cannot tell the format from the name: use .parquet, .csv or .jsonl, or a --preset")


def _limited(chunks: Iterator[Chunk], limit: int | None) -> Iterator[Chunk]:
    with closing(cast(Generator[Chunk, None, None], chunks)):
        for chunk in chunks:
            if limit is not None and len(chunk) >= limit:
                yield Chunk(chunk.records[:limit], 1.0)
                return
            yield chunk
            limit = None if limit is None else limit - len(chunk)


def _parquet(path: Path) -> Iterator[Chunk]:
    try:
        names, total = pa.parquet.read_schema(path).names, max(pa.parquet.read_metadata(path).num_rows, 1)
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{path} is no readable Parquet file: {error}") from None
    _require(path, names)
    columns = [name for name in names if name in (*REQUIRED, *OPTIONAL, "attributes")]

    def chunks() -> Iterator[Chunk]:
        row = 0
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(CHUNK_ROWS, columns=columns):
                yield _encoded(path, pa.table(batch), row, (row + len(batch)) / total)
                row += len(batch)

    return chunks()


def _csv(path: Path, names: list[str] | None, adapt: Callable[[pa.Table, int], pa.Table]) -> Iterator[Chunk]:
    header = names or _header(path)
    if names is None:
        _require(path, header)
    read = pa.csv.ReadOptions(column_names=names, block_size=CSV_BLOCK_BYTES)
    texts = {name: pa.string() for name in header}  # read as text: a bad number is then ours to name, with its row
    convert = pa.csv.ConvertOptions(column_types=texts, strings_can_be_null=True, null_values=[""])

    def chunks() -> Iterator[Chunk]:
        row = 0
        with _open(path) as (stream, progress):
            for batch in _csv_batches(path, stream, read, convert):
                table = pa.table(batch)
                for start in range(0, len(table), CHUNK_ROWS):
                    part = table.slice(start, CHUNK_ROWS)
                    yield _encoded(path, adapt(part, row), row, progress())
                    row += len(part)

    return chunks()


def _csv_batches(path: Path, stream: BinaryIO, read: Any, convert: Any) -> Iterator[pa.RecordBatch]:
    ragged: list[Any] = []

    def refuse(row: Any) -> Literal["skip", "error"]:
        ragged.append(row)
        return "error"

    try:
        parse = pa.csv.ParseOptions(invalid_row_handler=refuse)
        with pa.csv.open_csv(stream, read, parse, convert) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise UsageError(_ragged(path, ragged[0]) if ragged else f"{path}: {error}") from None


def _ragged(path: Path, row: Any) -> str:
    """Where a row with too many or too few fields stands: the streaming reader does not count."""
    with _open(path) as (stream, _):
        same = (number for number, line in enumerate(stream, 1) if line.rstrip(b"\r\n") == row.text.encode())
        number = next(same, 0)
    return f"{path}, line {number}: {row.actual_columns} fields where {row.expected_columns} belong"


def _header(path: Path) -> list[str]:
    with _open(path) as (stream, _):
        line = stream.readline().decode(errors="replace").removeprefix("\ufeff")
    return [name.strip().strip('"') for name in line.rstrip("\r\n").split(",")]


@contextmanager
def _open(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """The (decompressed) content, and a function that tells the share of the file read so far."""
    size = max(path.stat().st_size, 1)
    with (
        path.open("rb") as raw,
        gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else nullcontext(raw) as stream,
    ):
        yield cast(BinaryIO, stream), lambda: min(1.0, raw.tell() / size)


def _from_taobao(table: pa.Table, first_row: int) -> pa.Table:
    behavior: list[Any] = table["behavior"].to_pylist()
    event_type = [TAOBAO_BEHAVIOR.get(code, code) for code in behavior]
    seconds: list[Any] = table["seconds"].to_pylist()
    milliseconds = [None if text is None else text + "000" for text in seconds]
    return pa.table(
        {
            "event_id": [f"t{row}" for row in range(first_row, first_row + len(table))],
            "user_id": table["user_id"],
            "item_id": table["item_id"],
            "category_id": table["category_id"],
            "event_type": pa.array(event_type, pa.string()),
            "timestamp_ms": pa.array(milliseconds, pa.string()),
        }
    )


def _json_lines(path: Path) -> Iterator[Chunk]:
    decode = msgspec.json.Decoder(_Line).decode
    records: list[WireRecord] = []
    with _open(path) as (stream, progress):
        for number, line in enumerate(stream, 1):
            value = line.strip()
            if not value:
                continue
            try:
                event = decode(value)
            except ValueError as error:
                raise UsageError(f"{path}, line {number}: {error}") from None
            records.append(WireRecord(str(event.user_id).encode(), value))
            if len(records) == CHUNK_ROWS:
                yield Chunk(records, progress())
                records = []
    yield Chunk(records, 1.0)


def _require(path: Path, names: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise UsageError(f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(names) or 'none'}")


def _encoded(path: Path, table: pa.Table, first_row: int, progress: float) -> Chunk:
    columns = [_column(path, table, name, kind, first_row) for name, kind in (REQUIRED | OPTIONAL).items()]
    for name, column in zip(REQUIRED, columns, strict=False):
        if None in column:
            raise UsageError(f"{path}, row {first_row + column.index(None) + 1}: {name} is missing")
    if unknown := set(columns[3]) - set(EVENT_TYPES):
        row = first_row + next(i for i, name in enumerate(columns[3]) if name in unknown) + 1
        raise UsageError(
            f"{path}, row {row}: event_type is {columns[3][row - first_row - 1]!r}, none of {', '.join(EVENT_TYPES)}"
        )
    columns.append(_attributes(path, table, first_row))
    encode = msgspec.json.Encoder().encode
    values = [encode(_Value(*row)) for row in zip(*columns, strict=True)]
    records = [WireRecord(user.encode(), value) for user, value in zip(columns[1], values, strict=True)]
    return Chunk(records, progress)


def _column(path: Path, table: pa.Table, name: str, kind: pa.DataType, first_row: int) -> list[Any]:
    if name not in table.column_names:
        return [None] * len(table)
    column: Any = table[name]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms"), safe=False)
    try:
        values: list[Any] = column.cast(kind).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise UsageError(_misfit(path, column, name, kind, first_row)) from None
    if pa.types.is_floating(kind):  # NaN is how tables of numbers say "not logged"; JSON has no word for it
        values = [None if value is not None and value != value else value for value in values]
    return values


def _misfit(path: Path, column: Any, name: str, kind: pa.DataType, first_row: int) -> str:
    for row, value in enumerate(column, first_row + 1):
        try:
            pa.array([value.as_py()], column.type).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return f"{path}, row {row}: {name} is {value.as_py()!r}, which is no {kind}"
    return f"{path}: {name} is of type {column.type}, which is no {kind}"


def _attributes(path: Path, table: pa.Table, first_row: int) -> list[Any]:
    """A map or struct as it is, text as the JSON object it must hold."""
    if "attributes" not in table.column_names:
        return [None] * len(table)
    values: list[Any] = table["attributes"].to_pylist()
    if pa.types.is_map(table["attributes"].type):
        return [None if value is None else dict(value) for value in values]
    for row, value in enumerate(values, first_row + 1):
        if isinstance(value, str):
            try:
                values[row - first_row - 1] = msgspec.json.decode(value, type=dict[str, Any])
            except ValueError as error:
                raise UsageError(f"{path}, row {row}: attributes: {error}") from None
    return values
