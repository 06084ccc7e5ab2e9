"""Writes the dashboards' files, or says which are not current."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.grafana.fleet import FLEET
from deploy.grafana.models import MODELS
from deploy.grafana.panels import text
from deploy.grafana.quality import QUALITY
from deploy.grafana.shard import SHARD

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = (FLEET, SHARD, QUALITY, MODELS)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 2 if a file is not current")
    texts = {FOLDER / f"{dashboard.uid}.json": text(dashboard) for dashboard in DASHBOARDS}
    if not parser.parse_args(arguments).check:
        for path, content in texts.items():
            path.write_text(content, "utf-8")
        return 0
    there = {path: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    outdated = sorted(path.name for path in texts.keys() | there.keys() if texts.get(path) != there.get(path))
    if outdated:
        sys.stderr.write(f"not current in {FOLDER}: {', '.join(outdated)}; run 'make dashboards'\n")
    return 2 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
