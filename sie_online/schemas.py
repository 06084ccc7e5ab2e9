"""JSON Schemas (2020-12) of the topics that carry JSON, generated from the code that reads and writes them.

``python -m sie_online.schemas`` writes them to ``deploy/schemas``; with ``--check`` it exits 2 if they are not current.
Within a major version only optional fields are added.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from sie_online import contracts
from sie_online.ingest.events import Erase, Event, Heartbeat, Reason
from sie_online.statements import EntityState, Recommendations

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY = Path("deploy/schemas")

_HEADERS = {
    "sie-reason": "Why the record is a dead letter.",
    "sie-exception": "What was wrong with it, in words.",
    "sie-source-topic": "Topic of the record.",
    "sie-source-partition": "Partition of the record, decimal.",
    "sie-source-offset": "Offset of the record, decimal; with topic and partition its identity.",
    "sie-source-timestamp-ms": "Kafka timestamp of the record, ms since 1970, decimal.",
    "sie-value-bytes": "Full size of the value, decimal; only where the value was cut or left out.",
    "sie-value-sha256": "SHA-256 (hex) of the full value; only where the value was cut.",
    contracts.DEAD_LETTER_VALUE_HMAC: "HMAC-SHA-256 (hex) of the value under the key of privacy.hmac_key_file; only"
    " where that is set: then there is no value, the key is its HMAC, and the record's own headers are left out.",
    "sie-key-bytes": "Full size of the key, decimal; only where the key was cut.",
    "sie-key-sha256": "SHA-256 (hex) of the full key; only where the key was cut.",
}


def schemas() -> dict[str, dict[str, Any]]:
    """Schema by topic (default names)."""
    return {
        "sie.events": _events(),
        "sie.entities.v1": _titled("Value of sie.entities.v1", msgspec.json.schema(EntityState)),
        "sie.recs.v1": _titled("Value of sie.recs.v1", msgspec.json.schema(Recommendations)),
        "sie.dead-letters.v1": _dead_letter_headers(),
    }


def _events() -> dict[str, Any]:
    kinds, definitions = msgspec.json.schema_components([Event, Heartbeat, Erase], ref_template="#/$defs/{name}")
    return _titled("Value of sie.events", {"anyOf": list(kinds), "$defs": definitions})


def _dead_letter_headers() -> dict[str, Any]:
    properties: dict[str, dict[str, Any]] = {
        name: {"type": "string", "description": description} for name, description in _HEADERS.items()
    }
    properties["sie-reason"]["enum"] = sorted(Reason)
    return _titled(
        "Headers added to the records of sie.dead-letters.v1 (UTF-8 text)",
        {"type": "object", "properties": properties, "required": list(contracts.DEAD_LETTER_HEADERS)},
    )


def _titled(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "title": title, **schema}


def texts() -> dict[str, str]:
    """File name to content."""
    return {f"{topic}.json": json.dumps(schema, indent=2) + "\n" for topic, schema in schemas().items()}


def stale(directory: Path) -> list[str]:
    """Names of files in ``directory`` that are missing or not current."""
    return [name for name, text in texts().items() if _read(directory / name) != text]


def write(directory: Path) -> None:
    """Write every schema."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (directory / name).write_text(text, "utf-8")


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sie_online.schemas", description="JSON Schemas of the JSON topics."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 2 if a file is not current")
    parser.add_argument("--out", type=Path, default=DIRECTORY, help="directory (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.out)
        return 0
    outdated = stale(options.out)
    if outdated:
        sys.stderr.write(f"not current in {options.out}: {', '.join(outdated)}; run 'make schemas'\n")
    return 2 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
