"""Code in pages of the documentation: fenced blocks, and a folder in which they run as a reader would run them.

A comment of HTML on the line before a block, which no reader sees, may say how a test is to take it:

- ``<!-- test: skip because REASON -->``
- ``<!-- test: background until "REGEX" -->``: it runs on while those after it do, which begin once it has printed that
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sie_online.settings import KNOWN_ELSEWHERE
from tests.support.waiting import until

BLOCK = re.compile(r"^(?:<!-- test: (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```", re.M | re.S)
MARK = re.compile(r'skip because (?P<reason>.+)|background until "(?P<pattern>.+)"')
BROKER = "127.0.0.1:9092"
"""What pages call the broker."""
RUNS = {"sh": ("bash", "-euo", "pipefail", "-c"), "python": (sys.executable, "-c")}
LONGEST_S = 240.0


@dataclass(frozen=True)
class Block:
    """``mark``: what the comment before it says; ``line``: of its fence, from 1."""

    page: Path
    line: int
    language: str
    code: str
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def names_broker(self) -> bool:
        """Whether it reads from or writes to one."""
        return BROKER in self.code

    def says(self, what: str) -> str | None:
        """What its mark gives for ``reason`` or ``pattern``."""
        found = MARK.fullmatch(self.mark) if self.mark else None
        assert found or not self.mark, f"{self}: what is 'test: {self.mark}'?"
        return found[what] if found else None


def blocks(page: Path) -> list[Block]:
    """All fenced blocks with a language, in order."""
    text = page.read_text("utf-8")
    return [
        Block(
            page,
            1 + text.count("\n", 0, found.start("language")),
            found["language"],
            found["code"],
            found["mark"] or "",
        )
        for found in BLOCK.finditer(text)
    ]


def fenced(page: Path, language: str) -> list[str]:
    """The fenced code of one language."""
    return [block.code for block in blocks(page) if block.language == language]


class Reader:
    """Types a page's blocks, in order, in ``folder``, with topics, a store and a group of their own."""

    def __init__(self, folder: Path, broker: str) -> None:
        self._folder = folder
        self._broker = broker
        self._environment = _environment(folder, broker)
        self._background: list[subprocess.Popen[bytes]] = []

    def run(self, block: Block) -> str:
        """What it printed.

        Raises:
            AssertionError: it failed; says where, and what it printed.
        """
        command = [*RUNS[block.language], block.code.replace(BROKER, self._broker)]
        if pattern := block.says("pattern"):
            return self._begin(block, command, pattern)
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def end(self) -> None:
        """Stop what runs in the background, as Ctrl-C does."""
        for process in self._background:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        for process in self._background:
            process.wait(60)

    def _begin(self, block: Block, command: Sequence[str], pattern: str) -> str:
        log = self._folder / f"background-{len(self._background)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._background.append(process)

        def printed() -> bool:
            return re.search(pattern, log.read_text(errors="replace")) is not None

        try:
            until(printed, f"{pattern!r} of {block}", LONGEST_S, hopeless=lambda: process.poll() is not None)
        except AssertionError as missing:
            raise AssertionError(f"{missing}:\n{log.read_text(errors='replace')[-4_000:]}") from None
        return log.read_text(errors="replace")


@contextmanager
def reader(folder: Path, broker: str) -> Iterator[Reader]:
    """A reader whose background processes end with the block."""
    made = Reader(folder, broker)
    try:
        yield made
    finally:
        made.end()


def _environment(folder: Path, broker: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIE_")}
    kept |= {name: os.environ[name] for name in KNOWN_ELSEWHERE - {"SIE_CONFIG"} if name in os.environ}
    name = f"page-{uuid.uuid4().hex[:8]}"
    own = {
        "HOME": str(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SIE_BROKER": broker,
        "SIE_STORE": (folder / "store").as_uri(),
        "SIE_GROUP": name,
        "SIE_TOPICS__PREFIX": f"{name}.",
        "SIE_TOPICS__EVENTS": f"{name}.events",
        "SIE_WEB__PORT": "0",
    }
    return kept | own
