"""Which files a person means: paths, folders, globs, zip archives, and standard input."""

from __future__ import annotations

import glob
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

from sie_online.errors import UsageError

STDIN = "-"
COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "Zstandard"}
FORMAT_OF = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
TRUTH = ".truth.parquet"
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class EventFile:
    """One file to read, or one member of a zip archive, or standard input.

    Attributes:
        path: where it lies; None for standard input.
        name: what it is called in messages.
        label: what it is called in event ids: its path below the folder that was named, or its own name; ``name``
            where several would be called the same.
        member: which file of the zip archive at ``path``; empty for other files.
        keys: columns that the path tells, as Hive writes them (``dt=2024-01-01``).
        size: bytes, 0 where unknown.
    """

    path: Path | None
    name: str
    label: str
    member: str = ""
    keys: Mapping[str, str | None] = field(default_factory=dict)
    size: int = 0

    @property
    def is_stored(self) -> bool:
        """Whether it is a file that lies somewhere, and no pipe: then its name says what it holds."""
        return self.path is not None and self.path.is_file()

    @property
    def compression(self) -> str:
        """What the name says it is compressed with; empty: nothing."""
        return COMPRESSIONS.get(_suffix(self.member or self.name), "")

    @property
    def format(self) -> str:
        """What the name says it holds: ``csv``, ``json``, ``parquet``, or nothing that is known."""
        return FORMAT_OF.get(_suffix(_bare(self.member or self.name)), "")


def find(arguments: Sequence[str | Path], *, any_name: bool = False) -> list[EventFile]:
    """The files that ``arguments`` name, in their order; within a folder or glob in the order of their names.

    Numbers in names count as numbers. In folders, what begins with ``_`` or ``.`` is passed over, the truth beside
    generated events, and files of other kinds, unless ``any_name``.

    Raises:
        UsageError: an argument names no file, or a zip archive cannot be opened.
    """
    if not arguments:
        raise UsageError("no file was named")
    found = [file for argument in arguments for file in _found(str(argument), any_name)]
    labels = Counter(file.label for file in found)
    return [file if labels[file.label] == 1 else replace(file, label=file.name) for file in found]


def _found(argument: str, any_name: bool) -> Iterator[EventFile]:
    path = Path(argument)
    if argument == STDIN:
        yield EventFile(None, "standard input", "stdin")
    elif path.is_dir():
        inside = [file for file in _walk(path) if any_name or _is_known(file)]
        if not inside:
            raise UsageError(f"folder {path} holds no event file: {', '.join(FORMAT_OF)}, also compressed")
        for file in inside:
            yield from _opened(file, file.relative_to(path).as_posix())
    elif path.exists():
        yield from _opened(path, path.name)
    elif glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True), key=_natural)  # noqa: PTH207 - paths may be absolute
        if not matches:
            raise UsageError(f"no file is named like {argument}")
        for match in matches:
            if not Path(match).is_dir():
                yield from _opened(Path(match), match)
            elif "**" not in argument:
                yield from _found(match, any_name)
    else:
        raise UsageError(f"{path} is no file")


def _walk(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(TRUTH))
    shown = [path for path in files if not any(part[0] in "_." for part in path.relative_to(folder).parts)]
    return sorted(shown, key=lambda path: _natural(path.relative_to(folder).as_posix()))


def _opened(path: Path, label: str) -> Iterator[EventFile]:
    keys = dict(key for part in path.parts[:-1] for key in _hive_key(part))
    if _suffix(path.name) != ".zip":
        yield EventFile(path, str(path), label, "", keys, path.stat().st_size)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise UsageError(f"{path} is no readable zip archive, or is cut off: {error}") from None
    shown = [info for info in members if not any(part[0] in "_." for part in Path(info.filename).parts)]
    if not shown:
        raise UsageError(f"{path} holds no file")
    for info in sorted(shown, key=lambda info: _natural(info.filename)):
        where = f"{path}/{info.filename}"
        yield EventFile(path, where, f"{label}/{info.filename}", info.filename, keys, info.compress_size)


def _hive_key(part: str) -> Iterator[tuple[str, str | None]]:
    name, equals, value = part.partition("=")
    if name and equals:
        yield unquote(name), None if value == HIVE_NULL else unquote(value)


def _is_known(path: Path) -> bool:
    return _suffix(_bare(path.name)) in FORMAT_OF or _suffix(path.name) == ".zip"


def _bare(name: str) -> str:
    """The name without what says how it is compressed."""
    return name[: -len(_suffix(name))] if _suffix(name) in COMPRESSIONS else name


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
