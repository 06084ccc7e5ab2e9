"""A model's manifest: everything there is to say about an artifact but its bytes. JSON, fields only ever added.

The value of ``<model>/<version>`` on ``sie.models.v1``, and the file beside an artifact. Imports nothing but the
standard library.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from models.errors import ManifestError
from models.ulid import is_ulid

SAFETENSORS = "safetensors"
TEXT_BYTES = 1 << 20
"""A manifest takes some 3 kB; a longer one is not parsed."""
ARTIFACT_BYTES = 4 << 30
"""The largest artifact there may be: tables of all the buckets that the settings admit."""
INT64 = (1 << 63) - 1


@dataclass(frozen=True)
class TensorInfo:
    """Name, dtype (numpy's name) and shape of one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """What the gate said: ``reasons`` is empty exactly if it passed; ``report`` has figures by kind of weights."""

    passed: bool
    reasons: tuple[str, ...] = ()
    report: dict[str, dict[str, float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What is known of one version.

    ``uri`` is the artifact's address in the store; ``size`` (in JSON ``bytes``) and ``sha256`` (hex) are of its bytes.
    ``train_offsets`` names per partition the first and last offset trained on. ``metrics`` and ``baseline_metrics``
    (the parent's, or of the scores alone) are of the validation part. ``gate`` is None until a verdict has been given.
    """

    version: str
    parent: str | None
    uri: str
    size: int
    sha256: str
    tensors: tuple[TensorInfo, ...]
    feature_schema_hash: str
    mean_f: float
    train_offsets: dict[str, tuple[int, int]]
    metrics: dict[str, float | None]
    baseline_metrics: dict[str, float | None]
    gate: Verdict | None
    created_at_ms: int
    code_version: str
    model: str = "net"
    format: str = SAFETENSORS

    def to_json(self) -> str:
        """One JSON object; figures that are not finite become null."""
        document = {("bytes" if name == "size" else name): value for name, value in asdict(self).items()}
        return json.dumps(_finite(document), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """The manifest in ``text``; fields it does not know are ignored.

        Raises:
            ManifestError: it is no JSON object, or a field is missing or wrong; the message names the field.
        """
        if len(text) > TEXT_BYTES:
            raise ManifestError(f"the manifest has {len(text)} bytes; {TEXT_BYTES} are read")
        try:
            document = json.loads(text)
            json.dumps(document, ensure_ascii=False, allow_nan=False).encode()  # finite numbers, whole characters
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"the manifest is no JSON: {error}") from None
        if not isinstance(document, dict):
            raise ManifestError("the manifest is no JSON object")
        values = {each.name: _READ[each.name](_Reader(document), _key(each.name)) for each in fields(cls)}
        return cls(**values)


def _key(name: str) -> str:
    return "bytes" if name == "size" else name


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def _in_short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= INT64


class _Reader:
    """Fields of a JSON object, each checked as it is read."""

    def __init__(self, document: Mapping[str, Any], path: str = "") -> None:
        self._document = document
        self._path = path

    def text(self, key: str) -> str:
        return str(self._typed(key, str, "text"))

    def version(self, key: str) -> str:
        value = self.text(key)
        return value if is_ulid(value) else self._refuse(key, "is no ULID")

    def parent(self, key: str) -> str | None:
        return None if self._get(key) is None else self.version(key)

    def sha256(self, key: str) -> str:
        value = self.text(key)
        well = len(value) == 64 and all(c in "0123456789abcdef" for c in value)
        return value if well else self._refuse(key, "is no SHA-256 in lower-case hex")

    def whole(self, key: str) -> int:
        value = int(self._typed(key, int, "a whole number"))
        return value if 0 <= value <= INT64 else self._refuse(key, "is negative or too large")

    def size(self, key: str) -> int:
        value = self.whole(key)
        return value if value <= ARTIFACT_BYTES else self._refuse(key, f"is more than {ARTIFACT_BYTES}")

    def number(self, key: str) -> float:
        value = self._typed(key, int | float, "a number")
        return float(value) if abs(value) <= sys.float_info.max else self._refuse(key, "is too large")

    def positive(self, key: str) -> float:
        value = self.number(key)
        return value if math.isfinite(value) and value > 0 else self._refuse(key, "is not finite and above 0")

    def flag(self, key: str) -> bool:
        return bool(self._typed(key, bool, "true or false"))

    def known_format(self, key: str) -> str:
        value = self.text(key)
        return value if value == SAFETENSORS else self._refuse(key, f"is {value!r}, and {SAFETENSORS!r} alone is known")

    def figures(self, key: str) -> dict[str, float | None]:
        found = self._typed(key, dict, "an object")
        reader = self._inside(found, f"{self._path}{key}")
        return {name: None if value is None else reader.number(name) for name, value in found.items()}

    def offsets(self, key: str) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for partition, span in self._typed(key, dict, "an object").items():
            if not (isinstance(span, list) and len(span) == 2 and all(_is_size(one) for one in span)):
                self._refuse(f"{key}.{partition}", "is no pair of offsets")
            found[partition] = (span[0], span[1])
        return found

    def tensors(self, key: str) -> tuple[TensorInfo, ...]:
        found = []
        for number, one in enumerate(self._typed(key, list, "a list")):
            reader = self._inside(one, f"{key}[{number}]")
            shape = reader._typed("shape", list, "a list")
            if not all(map(_is_size, shape)):
                reader._refuse("shape", "is no list of sizes")
            found.append(TensorInfo(reader.text("name"), reader.text("dtype"), tuple(shape)))
        return tuple(found)

    def gate(self, key: str) -> Verdict | None:
        if self._get(key) is None:
            return None
        reader = self._inside(self._get(key), key)
        reasons = reader._typed("reasons", list, "a list")
        report = reader._inside(reader._get("report"), f"{key}.report")
        return Verdict(
            reader.flag("passed"), tuple(map(str, reasons)), {name: report.figures(name) for name in report._document}
        )

    def _inside(self, value: Any, path: str) -> _Reader:
        return _Reader(value, f"{path}.") if isinstance(value, dict) else self._refuse(path, "is no object")

    def _get(self, key: str) -> Any:
        return self._document[key] if key in self._document else self._refuse(key, "is missing")

    def _typed(self, key: str, kind: Any, what: str) -> Any:
        value = self._get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self._refuse(key, f"is {_in_short(value)}, not {what}")
        return value

    def _refuse(self, key: str, why: str) -> Any:
        raise ManifestError(f"manifest field '{self._path}{key}' {why}")


_READ: dict[str, Any] = {
    "version": _Reader.version,
    "parent": _Reader.parent,
    "uri": _Reader.text,
    "size": _Reader.size,
    "sha256": _Reader.sha256,
    "tensors": _Reader.tensors,
    "feature_schema_hash": _Reader.text,
    "mean_f": _Reader.positive,
    "train_offsets": _Reader.offsets,
    "metrics": _Reader.figures,
    "baseline_metrics": _Reader.figures,
    "gate": _Reader.gate,
    "created_at_ms": _Reader.whole,
    "code_version": _Reader.text,
    "model": _Reader.text,
    "format": _Reader.known_format,
}
