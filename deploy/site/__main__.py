"""Builds the docs' site into build/site, strictly: a dead link, or a page that is not in the navigation, is a fault."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from deploy.site.faults import faults
from deploy.site.pages import UnlinkableError, gather, navigation

ROOT = Path(__file__).parents[2]
LOOKED_AT_EVERY_S = 0.5
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0, or 2 where something is wrong with the docs."""
    parser = argparse.ArgumentParser(prog="python -m deploy.site", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["build", "serve"], default="build", help="default: build")
    parser.add_argument("--address", default="127.0.0.1:8000", metavar="HOST:PORT", help="where serve listens")
    parser.add_argument("--quiet", action="store_true", help="say only what is wrong")
    given = parser.parse_args(arguments)
    try:
        gather(ROOT, ROOT / "build" / "docs")
        if given.command == "serve":
            return serve(ROOT, given.address)
        wrong = build(ROOT)
    except UnlinkableError as error:
        wrong = [str(error)]
    except KeyboardInterrupt:
        return 0
    sys.stderr.writelines(f"{fault}\n" for fault in wrong)
    if not wrong and not given.quiet:
        sys.stdout.write(f"The site is in {ROOT / 'build' / 'site'}; open index.html, or run 'make docs ARGS=serve'\n")
    return 2 if wrong else 0


def build(root: Path) -> list[str]:
    """Build the site of ``root`` from its gathered pages; what is wrong with it, nothing where all is well."""
    command = zensical("build", "--strict", "--clean")
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        said = COLOUR.sub("", done.stdout + done.stderr.partition("Traceback")[0])
        return [said.strip() or done.stderr]
    return faults(root / "build" / "docs", root / "build" / "site", navigation(root / "zensical.toml"))


def serve(root: Path, address: str) -> int:
    """Serve the site until Ctrl-C, and show what changes in the docs meanwhile."""
    said = ""
    with subprocess.Popen(zensical("serve", "--dev-addr", address), cwd=root) as server:  # noqa: S603 - ours
        try:
            while server.poll() is None:
                time.sleep(LOOKED_AT_EVERY_S)
                said = _gathered(root, said)
        finally:
            server.terminate()
    return server.returncode


def _gathered(root: Path, said: str) -> str:
    """Gather the pages; what is wrong with them, told where it was not before."""
    try:
        gather(root, root / "build" / "docs")
    except (UnlinkableError, OSError, tomllib.TOMLDecodeError) as error:  # being edited
        if str(error) != said:
            sys.stderr.write(f"{error}\n")
        return str(error)
    return ""


def zensical(*words: str) -> list[str]:
    """Its command line, in this environment."""
    return [sys.executable, "-m", "zensical", *words]


if __name__ == "__main__":
    sys.exit(main())
