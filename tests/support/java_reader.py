"""The reader in Java (deploy/java), built by Maven once per state of its sources."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.brokers import ROOT
from tests.support.requirements import end, need

SOURCES, BUILT = ROOT / "deploy" / "java", ROOT / "build" / "java"
HARNESS = ROOT / "tests" / "support" / "Outcomes.java"
INSTALL = "apt-get install --no-install-recommends default-jdk-headless maven"
MAVEN = ("mvn", "--quiet", "--batch-mode", "-Dstyle.color=never", "compiler:compile", "dependency:copy-dependencies")
JVM = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "--add-opens=java.base/java.nio=ALL-UNNAMED")
"""The second is what Arrow needs to reach memory outside the heap."""

Row = dict[str, Any]


def build() -> None:
    """Compile it and fetch its jars (25 MB, once), unless that is done."""
    need("java", "javac", "mvn", install=INSTALL)
    stamp, digest = BUILT / ".complete", _digest()
    if stamp.exists() and stamp.read_text("utf-8") == digest:
        return
    made = subprocess.run([*MAVEN, "--file", str(SOURCES / "pom.xml")], capture_output=True, text=True, timeout=400)
    if made.returncode:
        end(f"deploy/java is not built: {made.stdout[-2000:]}{made.stderr[-500:]}")
    stamp.write_text(digest, "utf-8")


def rows(*arguments: str) -> list[Row]:
    """What it prints, given ``arguments``."""
    return [json.loads(line) for line in _said("sie.reader.Main", *arguments)]


class Outcomes(NamedTuple):
    """What it made of some messages: each one's rows, or why it was refused; and the most bytes outside the heap."""

    each: list[list[Row] | str]
    most_bytes: int


def outcomes(messages: Sequence[bytes], *, heap: str = "192m", timeout_s: float = 120) -> Outcomes:
    """Of messages that anybody may have written, in one process with a small ``heap``, which they must not end."""
    given = [struct.pack(">i", len(messages)), *(struct.pack(">i", len(one)) + one for one in messages)]
    *lines, most = _said(f"-Xmx{heap}", str(HARNESS), input=b"".join(given), timeout=timeout_s)
    said = map(json.loads, lines)
    return Outcomes([one["refused"] if "refused" in one else one["rows"] for one in said], int(most))


def _said(*arguments: str, input: bytes = b"", timeout: float = 120) -> list[bytes]:
    """Lines of a program that has the reader; it must say nothing on stderr."""
    command = ["java", *JVM, "-cp", f"{BUILT / 'classes'}:{BUILT / 'libs'}/*", *arguments]
    done = subprocess.run(command, input=input, capture_output=True, timeout=timeout)
    if done.returncode or done.stderr:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr.decode()[-2000:]}")
    return done.stdout.splitlines()


def _digest() -> str:
    files: list[Path] = sorted(path for path in SOURCES.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
