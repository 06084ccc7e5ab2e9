"""``python -m models.train``: fine-tune and judge from a file, on any host with torch, numpy, pyarrow, safetensors.

Writes ``<version>.safetensors`` and then ``<version>.json`` (the manifest with the gate's verdict): a manifest never
names an artifact that is not there.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from models import benchmark
from models.data import ordered
from models.errors import ModelError, SampleError
from models.gate import Judged
from models.manifest import Manifest
from models.publish import Provenance, judged
from models.samples import SampleColumns, feature_schema_hash, from_table
from models.settings import DEVICES, MODES, TARGETS, WAYS, FineTune, Gate
from models.snapshot import load, write
from models.tune import Progress, fine_tune
from models.ulid import ulid
from models.window import Window
from sie_online.contracts import CODE_VERSION

EPILOG = """\
SAMPLES is a table of settled samples with the columns of sie.samples.v1, for instance from
  sie tail samples --parquet samples.parquet --until-idle 5

examples
  python -m models.train --samples samples.parquet --out models
      train from nothing, judge, write models/<version>.safetensors and models/<version>.json
  python -m models.train --samples samples.parquet --out models --parent models/<version>.json --mode heads
      go on from a version, training its last layer only
  python -m models.train --samples samples.parquet --benchmark
      samples per second, whole net and heads, each in turns with the plain matrix products it consists of ("of
      products": 1 would be a step that takes no longer than those), and shares of the device's best rates
  python -m models.train --samples samples.parquet --benchmark --device cpu --threads 1 --way autocast
      the same of one way; without --way: on a GPU of all, on a CPU of float32

ways (their losses are equal up to rounding)
  float32   products in float32                 autocast  products in bf16
  compiled  autocast, loss compiled             graph     autocast, the whole step one CUDA graph (GPU only)

exit codes: 0 done (also when the gate refuses: the manifest says why), 2 wrong use or unusable input
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        samples, schema_hash = _read(options.samples)
        settings = _settings(options)
        if options.benchmark:
            print(benchmark.report(samples, settings, options.seconds, _log), flush=True)  # noqa: T201
            return 0
        if options.out is None:
            _fail("--out is missing: name the folder that the model is written to")
        _train(samples, schema_hash, settings, Gate(k=settings.k), options.out, options.parent)
    except ModelError as error:
        _fail(str(error))
    except OSError as error:
        _fail(str(error))
    return 0


def _train(
    samples: SampleColumns, schema_hash: str, settings: FineTune, gate: Gate, out: Path, parent_file: Path | None
) -> None:
    parent = None if parent_file is None else Manifest.from_json(parent_file.read_bytes())
    if parent is not None and parent.feature_schema_hash != schema_hash:
        raise SampleError("the samples' features mean something else than the parent's: start without --parent")
    current = None
    if parent_file is not None and parent is not None:
        current = Judged(load(parent_file.parent / parent.uri, parent), parent.mean_f)
    candidate = fine_tune(samples, settings, current.weights if current else None, on_progress=_log_progress)
    now_ms = time.time_ns() // 1_000_000
    version = ulid(now_ms, secrets.token_bytes(10))
    origin = Provenance(
        version=version,
        parent=parent.version if parent else None,
        uri=f"{version}.safetensors",
        feature_schema_hash=schema_hash,
        created_at_ms=now_ms,
        code_version=CODE_VERSION,
    )
    _log("Judging ...")
    contents, manifest = judged(candidate, ordered(samples), current, gate, origin)
    out.mkdir(parents=True, exist_ok=True)
    write(out / manifest.uri, contents.data)
    write(out / f"{version}.json", manifest.to_json().encode())
    _summarise(manifest, out)


def _summarise(manifest: Manifest, out: Path) -> None:
    verdict = manifest.gate
    document = {
        "version": manifest.version,
        "passed": verdict is not None and verdict.passed,
        "reasons": list(verdict.reasons) if verdict else [],
        "samples_per_s": manifest.metrics["samples_per_s"],
        "metrics": manifest.metrics,
        "baseline_metrics": manifest.baseline_metrics,
        "gate": verdict.report if verdict else {},
    }
    print(json.dumps(document, indent=2), flush=True)  # noqa: T201  # what the command is asked for
    _log(f"Passed the gate: {out / manifest.uri}" if document["passed"] else "Refused by the gate:")
    for reason in document["reasons"] if isinstance(document["reasons"], list) else []:
        _log(f"  {reason}")


def _read(path: Path) -> tuple[SampleColumns, str]:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise SampleError(f"{path}: no such file") from None
    except pa.ArrowInvalid as error:
        raise SampleError(f"{path} is no Parquet file: {error}") from None
    samples = from_table(table)
    if not len(samples):
        raise SampleError(f"{path} holds no sample")
    window = Window(max_samples=len(samples), max_age_ms=1 << 62)  # sorted, without repeats
    window.add(samples)
    return window.samples() or samples, feature_schema_hash(table.schema)


def _settings(options: argparse.Namespace) -> FineTune:
    names = ("seed", "device", "mode", "way", "target", "k", "spread_penalty", "epochs", "batch", "learning_rate")
    given = {name: getattr(options, name) for name in names}
    return FineTune(**{name: value for name, value in given.items() if value is not None})


def _log_progress(progress: Progress) -> None:
    if not progress.samples:
        _log(progress.note)
        return
    _log(
        f"pass {progress.epoch} of at most {progress.epochs}: loss {progress.loss:.5f}, {progress.note}, "
        f"{progress.samples_per_s:,.0f} samples/s"
    )


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _fail(text: str) -> NoReturn:
    _log(f"models.train: {text}")
    raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.train",
        description="Fine-tune the importance net on settled samples, put it through the gate, and write it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = FineTune()
    parser.add_argument(
        "--samples", type=Path, required=True, metavar="FILE", help="Parquet, columns of sie.samples.v1"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for artifact and manifest (not with --benchmark)"
    )
    parser.add_argument("--parent", type=Path, metavar="FILE", help="manifest of the version to go on from")
    parser.add_argument("--target", choices=TARGETS, help=f"what f(x) learns (default {default.target})")
    parser.add_argument("--mode", choices=MODES, help=f"what is trained (default {default.mode})")
    parser.add_argument("--device", choices=DEVICES, help=f"where (default {default.device}: a GPU if there is one)")
    parser.add_argument(
        "--way", choices=WAYS, help=f"how a step runs (default {default.way}: compiled, float32 on a CPU)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help=f"passes at most (default {default.epochs})")
    parser.add_argument("--batch", type=int, metavar="N", help=f"samples per step (default {default.batch})")
    parser.add_argument("--seed", type=int, metavar="N", help=f"of start and shuffling (default {default.seed})")
    parser.add_argument("--k", type=float, help=f"scale of the weight, w = k f / mean f (default {default.k:g})")
    parser.add_argument(
        "--lambda",
        dest="spread_penalty",
        type=float,
        metavar="L",
        help=f"penalty on mean (w - 1)^2 (default {default.spread_penalty:g})",
    )
    parser.add_argument("--learning-rate", type=float, metavar="R", help=f"(default {default.learning_rate:g})")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: torch decides)")
    parser.add_argument("--benchmark", action="store_true", help="measure throughput instead of training a model")
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="of each measurement with --benchmark (default 5)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
