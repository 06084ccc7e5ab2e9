"""What a Dockerfile says about the image it makes, and what its build sees."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

from tests.support.brokers import ROOT

FOLDER = ROOT / "deploy" / "docker"


class Dockerfile:
    """``deploy/docker/NAME.Dockerfile``; ``instructions`` are those of its last stage, as (keyword, rest)."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / f"{name}.Dockerfile"
        lines = re.sub(r"(?m)^#.*\n", "", self.path.read_text("utf-8")).replace("\\\n", "")
        stage = re.split(r"(?m)^(?=FROM )", lines)[-1]
        self.instructions = [
            (line.split()[0], line.split(maxsplit=1)[1]) for line in stage.splitlines() if line.strip()
        ]

    def all(self, keyword: str) -> list[str]:
        """The rest of each instruction called ``keyword``."""
        return [rest for name, rest in self.instructions if name == keyword]

    def one(self, keyword: str) -> str:
        """The only one."""
        (rest,) = self.all(keyword)
        return rest

    def environment(self, inherited: dict[str, str]) -> dict[str, str]:
        """What ENV adds to what the base image has."""
        given = dict(pair.split("=", 1) for pair in shlex.split(self.one("ENV")))
        return inherited | {
            name: re.sub(r"\$(\w+)", lambda known: inherited[known[1]], text) for name, text in given.items()
        }

    def volumes(self) -> list[str]:
        """Where a container may write."""
        return list(json.loads(self.one("VOLUME")))

    def command(self) -> list[str]:
        """What a container runs."""
        return [*json.loads(self.one("ENTRYPOINT")), *json.loads(self.one("CMD"))]


def copy_context(to: Path) -> None:
    """Copy into ``to`` what a build of an image sees: what ``.dockerignore`` lets through."""
    for name in re.findall(r"(?m)^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8")):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, target)
