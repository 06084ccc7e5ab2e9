"""How fast event files are read: ``python -m tests.benchmarks.reading [--beside CHECKOUT]``.

A generated log is written in each format and read to its end twice, each round in a process of its own: the first
reading also pays for what is loaded with it, the second is what a longer log comes to per row. With ``--beside``
another checkout of the project reads the same files in turn with this one, so that both meet the same machine.
Figures are processor time, median over rounds: reading is one thread's work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from sie_online.simulator import Scenario, simulate
from sie_online.simulator.files import SimulationFiles
from tests.benchmarks import machine

ROOT = Path(__file__).parents[2]
FORMATS = (".csv", ".csv.gz", ".jsonl", ".parquet")
READ = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from sie_online.ingest.sources import read_events
file = Path(sys.argv[2])
for _ in range(2):
    begin = time.process_time()
    try:
        rows = sum(map(len, read_events([file])))
    except AttributeError:  # before several files could be read at once
        rows = sum(map(len, read_events(file)))
    print(rows, time.process_time() - begin)
"""


def seconds(checkout: Path, file: Path, rows: int) -> tuple[float, float]:
    """Processor time that ``checkout`` takes to read ``file``, which has so many rows, and to read it again."""
    command = [sys.executable, "-P", "-c", READ, str(checkout), str(file)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=checkout).stdout.split()
    if [int(told[0]), int(told[2])] != [rows, rows]:
        raise AssertionError(f"{checkout} read {told[0]} rows of {rows} in {file.name}")
    return float(told[1]), float(told[3])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and keep the figures in ``build/bench/reading.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000, help="about how many (default: 500,000)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (default: 5)")
    parser.add_argument("--beside", type=Path, help="another checkout of the project, to be measured in turn")
    asked = parser.parse_args(arguments)
    checkouts = {"here": ROOT} | ({"beside": asked.beside.resolve()} if asked.beside else {})
    print(json.dumps(machine.describe()), machine.warning(machine.busy_cores()), sep="\n")
    log = simulate(Scenario(events=asked.events, malformed=0, duplicate_share=0.0))
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="sie-reading-") as folder:
        for ending in FORMATS:
            file = SimulationFiles.named(Path(folder) / f"events{ending}")
            file.write(log, lambda _rows, _share: None)
            took: dict[str, list[tuple[float, float]]] = {name: [] for name in checkouts}
            for _ in range(asked.rounds):
                for name, checkout in checkouts.items():
                    took[name].append(seconds(checkout, file.path, log.events))
            found[ending] = _figures(took, log.events, file.path.stat().st_size)
            print(ending, ", ".join(f"{name} {value:,.2f}" for name, value in found[ending].items()), flush=True)
    out = ROOT / "build" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine.describe(), "events": log.events, "rounds": asked.rounds, "formats": found}
    (out / "reading.json").write_text(json.dumps(document, indent=2) + "\n")


def _figures(took: dict[str, list[tuple[float, float]]], rows: int, size: int) -> dict[str, float]:
    figures = {}
    for which, name in enumerate(("first", "again")):
        spent = {checkout: median(both[which] for both in rounds) for checkout, rounds in took.items()}
        figures |= {f"{name} rows/s": rows / spent["here"], f"{name} MB/s": size / spent["here"] / 1e6}
        if "beside" in spent:
            figures |= {f"{name} ratio": spent["beside"] / spent["here"]}
    return figures


if __name__ == "__main__":
    main()
