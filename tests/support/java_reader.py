"""The reader in Java (deploy/java), built by Maven once per state of its sources."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.brokers import ROOT
from tests.support.requirements import end, need

SOURCES, BUILT = ROOT / "deploy" / "java", ROOT / "build" / "java"
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
    """What it prints, given ``arguments``; it must say nothing on stderr."""
    command = ["java", *JVM, "-cp", f"{BUILT / 'classes'}:{BUILT / 'libs'}/*", "sie.reader.Main", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120)
    if done.returncode or done.stderr:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr.decode()[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _digest() -> str:
    files: list[Path] = sorted(path for path in SOURCES.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
