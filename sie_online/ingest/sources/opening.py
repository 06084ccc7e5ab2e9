"""Opening event files: what compresses them, what their text is encoded in, and how far they have been read."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO, cast

import pyarrow as pa

from sie_online.errors import UsageError
from sie_online.ingest.sources.files import COMPRESSIONS, EventFile

PEEK_BYTES = 1 << 20
PARQUET = b"PAR1"
MAGIC = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "Zstandard": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\x03\x04",
}
TAR_AT, TAR = 257, b"ustar"
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
FALLBACK = "cp1252"
"""What text is read as that is no UTF-8 and names nothing else: what spreadsheets write in Western Europe."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file's content, decompressed: a stream that can be peeked at, and the share of the file read so far."""

    stream: io.BufferedReader[Any]
    share: Callable[[], float]
    _stack: ExitStack

    def head(self) -> bytes:
        """The beginning, without moving on."""
        return self.stream.peek(PEEK_BYTES)

    def text(self, encoding: str, note: Callable[[str], None]) -> TextIO:
        """The content as text, line ends as they are; bytes that are none become lone surrogates.

        ``encoding`` empty: what the content states, else UTF-8, or, where that cannot be, ``FALLBACK``, which is noted.
        """
        stated = stated_encoding(self.head(), encoding)
        if not stated and not _may_be_utf8(self.head()):
            stated = FALLBACK
            note(f"its text is no UTF-8 and was read as {FALLBACK} (--encoding names another)")
        return self.decoded(stated or "utf-8", "")

    def decoded(self, encoding: str, newline: str) -> TextIO:
        """The content as text in an encoding that is known."""
        return self._stack.enter_context(io.TextIOWrapper(self.stream, encoding, "surrogateescape", newline))


@contextmanager
def opened(file: EventFile) -> Iterator[Opened]:
    """Open ``file``; what goes wrong while its content is read is said in a sentence that names it.

    Raises:
        UsageError: its name and its content disagree about compression; it is cut off, or damaged.
    """
    with ExitStack() as stack, _named(file):
        raw = _raw(file, stack)
        plain = _decompressed(file, raw, stack)
        stream = stack.enter_context(io.BufferedReader(cast(io.RawIOBase, plain), PEEK_BYTES))
        if _is_tar(stream.peek(PEEK_BYTES)):
            raise UsageError(f"{file.name} is a tar archive: unpack it, and name the folder")
        yield Opened(stream, lambda: min(1.0, raw.tell() / file.size) if file.size else 0.0, stack)


@contextmanager
def seekable(file: EventFile, found: Opened) -> Iterator[BinaryIO]:
    """The content as a file that can be read from any place: itself, or a temporary copy."""
    if file.path is not None and file.is_stored and not (file.member or file.compression):
        with file.path.open("rb") as direct:
            yield direct
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(found.stream, copy, PEEK_BYTES)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def stated_encoding(head: bytes, encoding: str) -> str:
    """What text that begins with ``head`` is encoded in, where a person, a byte order mark, or zeros say so."""
    if encoding:
        return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    if marked := next((name for mark, name in BOMS.items() if head.startswith(mark)), ""):
        return marked
    for order, zeros in (("utf-16-le", head[1:4_096:2]), ("utf-16-be", head[:4_096:2])):
        if zeros and zeros.count(0) > len(zeros) / 2:
            return order
    return ""


def _may_be_utf8(head: bytes) -> bool:
    """Whether it is, or at least some character of it beyond ASCII is."""
    text = head.decode("utf-8", "surrogateescape")
    strays = any("\udc80" <= char <= "\udcff" for char in text[:-4]) if not text.isascii() else False
    return not strays or any("\x7f" < char < "\ud800" for char in text)


def _raw(file: EventFile, stack: ExitStack) -> BinaryIO:
    if file.path is None:
        return cast(BinaryIO, sys.stdin.buffer)
    if not file.member:
        return stack.enter_context(file.path.open("rb"))
    archive = stack.enter_context(zipfile.ZipFile(file.path))
    try:
        return cast(BinaryIO, stack.enter_context(archive.open(file.member)))
    except RuntimeError as error:  # a password, or a method that Python does not know
        raise UsageError(f"{file.name} cannot be unpacked: {error}") from None


def _decompressed(file: EventFile, raw: BinaryIO, stack: ExitStack) -> BinaryIO:
    peekable = raw if hasattr(raw, "peek") else io.BufferedReader(cast(io.RawIOBase, raw))
    head = bytes(cast(io.BufferedReader, peekable).peek(512)[:512])
    found = next((name for name, magic in MAGIC.items() if head.startswith(magic)), "")
    if file.is_stored and found != file.compression:
        raise UsageError(_mislabelled(file, found))
    if found == "gzip":
        return cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=peekable)))
    if found == "bzip2":
        return cast(BinaryIO, stack.enter_context(bz2.BZ2File(peekable)))
    if found == "xz":
        return cast(BinaryIO, stack.enter_context(lzma.LZMAFile(peekable)))
    if found == "Zstandard":
        return cast(BinaryIO, _ArrowReader(stack.enter_context(pa.CompressedInputStream(peekable, "zstd"))))
    if found:
        raise UsageError(f"{file.name} is a zip archive: name it as a file")
    return peekable


class _ArrowReader(io.RawIOBase):
    """An Arrow stream as Python's buffered reader wants it."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # as io calls it
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _mislabelled(file: EventFile, found: str) -> str:
    if not file.compression:
        suffix = next((suffix for suffix, name in COMPRESSIONS.items() if name == found), ".zip")
        return f"{file.name} is compressed ({found}) and its name does not say so: name it {file.name}{suffix}"
    if not file.size:
        return f"{file.name} is empty"
    really = f"it is {found}" if found else "if it is not compressed, name it without the ending"
    return f"{file.name} is no {file.compression} file, whatever its name says: {really}"


def _is_tar(head: bytes) -> bool:
    return head[TAR_AT : TAR_AT + len(TAR)] == TAR


@contextmanager
def _named(file: EventFile) -> Iterator[None]:
    """Put what decompressors say into a sentence that names the file."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        cut = isinstance(error, EOFError) or "incomplete" in str(error) or "truncated" in str(error).lower()
        raise UsageError(f"{file.name} is {'cut off' if cut else 'damaged'}: {error}") from None
    except OSError as error:
        raise UsageError(f"{file.name} cannot be read to its end: {error.strerror or error}") from None
