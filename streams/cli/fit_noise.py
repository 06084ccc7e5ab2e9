"""``sie fit-noise``: a noise model for a shop, from a file of its events."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sie_online.errors import UsageError
from sie_online.ingest.records import LogRecord, RecordBatch
from sie_online.ingest.sources import read_events
from sie_online.settings import Settings
from sie_online.shard import warm_up
from streams.cli import noise_text
from streams.cli import reading as read
from streams.cli.common import Json, err, get_settings, out, print_json, require_writable
from streams.cli.options import with_groups
from streams.cli.progress import compiling, progress, steps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sie_online.ingest.wire import Chunk
    from streams.trainer.event_window import EventWindow
    from streams.trainer.noise_attempt import NoiseAttempt

REFUSED = 1
"""Exit code where the gate refuses; 2, 3 and 78 mean what they mean everywhere."""
BATCH_RECORDS = 4_000


@with_groups
def command(
    ctx: typer.Context,
    files: read.Files,
    given: read.Given,
    directory: Annotated[
        Path | None, typer.Option("--out", help="Folder for the model: 'sie evaluate --noise-model' begins with it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit the noise model on a file of a shop's own events, as 'sie trainer' does on the log, and say what it is worth.

    Random behaviours, polluting and innocent ones, are mixed into the newest trainer.noise.window_events events; the
    model learns to tell them from what was there. It is judged on families of behaviour that it was not fitted on,
    beside the default that is part of the package: by how well the worst and the median family are detected, by what
    it makes of innocents and of the log as it is. Takes minutes (trainer.noise.mixtures, .examples; a GPU helps).
    Ends with 0 where the gate lets it pass, 1 where it refuses; a refused one is kept in DIR and never announced.

    The same file and settings give the same model again on a CPU.

    [bold]Examples[/bold]
      sie fit-noise events.parquet
      sie fit-noise UserBehavior.csv --preset taobao --limit 1000000 --out fitted
      sie evaluate events.parquet --out results --noise-model fitted
      sie --set trainer.noise.mixtures=24 fit-noise events.parquet --json
    """
    settings = get_settings(ctx)
    reading = given.reading(settings.limits.earliest_ms)
    from streams.trainer.process import limit_threads, require_torch

    require_torch()
    if directory is not None:
        require_writable("--out", directory)
    chunks = read_events(files, reading, limit=given.limit, note=read.print_note)
    window = _window(chunks, settings)
    limit_threads(settings)
    found = _fitted(window, settings)
    announced = _kept(found, directory)
    gate, manifest = found.manifest.gate, found.manifest
    passed = gate is not None and gate.passed
    if as_json:
        print_json(_document(found) | {"announced": announced})
    else:
        out.print(noise_text.table_of(manifest.metrics, manifest.baseline_metrics))
        out.print(f"{found.events:,} events, {found.suspects:,} accounts left out as suspect, {found.seconds:.0f} s")
        out.print(f"passed: {manifest.version}" if passed else f"refused: {manifest.version}")
        for reason in gate.reasons if gate else ():
            out.print(f"  {reason}", soft_wrap=True)
    if not passed:
        raise typer.Exit(REFUSED)


def _window(chunks: Iterable[Chunk], settings: Settings) -> EventWindow:
    """The newest events of the file; rows that are no valid events are left out.

    Raises:
        UsageError: there are too few.
    """
    from streams.trainer.event_window import EventWindow

    window, records, now_ms = EventWindow(settings), 0, int(time.time() * 1_000)
    with progress("Reading") as advance:
        for chunk in chunks:
            for first in range(0, len(chunk.records), BATCH_RECORDS):
                rows = chunk.records[first : first + BATCH_RECORDS]
                window.add(_batch(rows, records, now_ms, settings.topics.events))
                records += len(rows)
            advance(records, chunk.progress)
    if window.heard < records:
        err.print(f"{records - window.heard:,} of {records:,} rows are no valid events: 'sie evaluate' says why")
    if window.heard < settings.trainer.noise.min_events:
        least = settings.trainer.noise.min_events
        raise UsageError(f"{window.heard:,} events are too few: a fit needs {least:,} (trainer.noise.min_events)")
    return window


def _batch(rows: Any, start: int, now_ms: int, topic: str) -> RecordBatch:
    records = [LogRecord(offset, now_ms, key, value) for offset, (key, value, _) in enumerate(rows, start)]
    return RecordBatch.of(records, topic=topic, partition=0, epoch=0, start=start, end=start + len(records))


def _fitted(window: EventWindow, settings: Settings) -> NoiseAttempt:
    from models.errors import ModelError
    from sie_online.contracts import BUILTIN_MODEL
    from sie_online.importance.noise.model import default_noise
    from streams.trainer.noise_attempt import attempt_noise, version_of

    with compiling():
        warm_up()
    columns = window.columns()
    version = version_of(columns, int(columns["time_ms"].max()), 1, settings)
    with steps("Fit") as advance:
        try:
            return attempt_noise(
                columns, window.spans(), default_noise(), settings, version, BUILTIN_MODEL, on_progress=advance
            )
        except ModelError as error:
            raise UsageError(f"no model can be fitted on this file: {error}") from None


def _kept(found: NoiseAttempt, directory: Path | None) -> bool:
    """Whether it is announced in ``directory``; kept there it is in any case."""
    from streams.model_registry import artifacts
    from streams.model_registry.recorded import RegistryRecorder
    from streams.store import LocalStore

    if directory is None:
        return False
    store, manifest = LocalStore(directory), found.manifest
    recorder = RegistryRecorder(store)
    if manifest.gate is None or not manifest.gate.passed:
        artifacts.keep(store, found.contents.data, manifest)
        return False
    recorder.publish(found.contents.data, manifest, {}, manifest.created_at_ms)
    err.print(f"The model is in {directory / 'models' / 'noise'}")
    return True


def _document(found: NoiseAttempt) -> dict[str, Any]:
    gate = found.manifest.gate
    return {
        "version": found.manifest.version,
        "passed": gate is not None and gate.passed,
        "reasons": list(gate.reasons) if gate else [],
        "events": found.events,
        "suspects": found.suspects,
        "seconds": found.seconds,
        "metrics": found.manifest.metrics,
        "baseline_metrics": found.manifest.baseline_metrics,
    }
