"""``sie evaluate``: weigh a file of events without a broker."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sie_online.errors import UsageError
from sie_online.evaluation import BATCH_RECORDS, Coach, Report, evaluate
from sie_online.settings import Settings
from sie_online.shard import warm_up
from sie_online.sources import Reading, read_events
from streams.cli.common import Json, err, get_settings, out, print_json, require_writable
from streams.cli.progress import progress
from streams.cli.text import moment
from streams.trainer.metrics import Outcome

if TYPE_CHECKING:
    from sie_online.announcements import Adoption
    from sie_online.shard.schedule import Artifact
    from streams.trainer.offline import FineTuned, OfflineTrainer

LIVE = "live"


def command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines in the documented schema.")],
    directory: Annotated[Path, typer.Option("--out", help="Folder for the tables and the report.")],
    partitions: Annotated[int, typer.Option(min=1, max=4_096, help="As many shards as the topic has partitions.")] = 1,
    preset: Annotated[str, typer.Option(help="taobao: the raw UserBehavior.csv.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N events.")] = None,
    trainer: Annotated[
        bool, typer.Option("--trainer", help="Fine-tune the importance net beside the events; adopt what passes.")
    ] = False,
    adopt_after: Annotated[
        int, typer.Option(metavar="M", min=1, help="An announced net applies M offsets later, in every partition.")
    ] = BATCH_RECORDS,
    models: Annotated[
        str | None, typer.Option(metavar="DIR", help="Repeat what --trainer announced in DIR; 'live': the broker's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Weigh a file of events without a broker: the very rows that workers would publish.

    Writes weights.parquet (the columns of sie.weights.v1), predictions.parquet (event_id, probability as first
    stated) and report.json.

    With --trainer, every trainer.every_samples newly settled samples (of all partitions, in the file's order) the net
    is fine-tuned and goes through the gate, as by 'sie trainer' but in step with the events; trainer.every_s counts
    for nothing. What was announced lies in DIR/models, refused candidates too. The same file, settings and
    trainer.fine_tune.seed give the same rows again on a CPU; --models repeats them bit for bit anywhere, without torch.

    What several partitions learn is put together meanwhile, as by 'sie trainer', and applies from the next offset on.

    --models live takes the announcements from sie.models.v1 and the nets from the store. They name offsets of the
    live partitions: repeat them over that log from its beginning, with as many partitions.

    [bold]Examples[/bold]
      sie evaluate events.parquet --out results
      sie --set importance.combine=product evaluate events.parquet --out product --partitions 4
      sie --set trainer.every_samples=10000 evaluate events.parquet --out trained --trainer
      sie evaluate events.parquet --out again --models trained
    """
    if trainer and models is not None:
        raise UsageError("--trainer announces and --models repeats: choose one")
    settings = get_settings(ctx)
    if trainer:
        from streams.trainer.process import require_torch

        require_torch()
    require_writable("--out", directory)
    training = _training(settings, directory, adopt_after) if trainer else None
    coach: Coach | None = _repeated(settings, models) if models is not None else training
    chunks = read_events([file], Reading(preset=preset), limit=limit)
    with err.status("Compiling the kernels (kept for the next time) ..."):
        warm_up()
    begin = time.monotonic()
    with progress("Evaluate") as tell:
        report = evaluate(
            chunks,
            settings,
            directory,
            partitions=partitions,
            started_ms=int(time.time() * 1_000),
            on_progress=tell,
            coach=coach,
        )
    seconds = time.monotonic() - begin
    document = asdict(report) | {"seconds": seconds, "events_per_s": report.events_in / max(seconds, 1e-9)}
    if training is not None:
        document["fine_tunes"] = [asdict(done) for done in training.fine_tuned]
        document["priors"] = [str(outcome) for outcome in training.priors.outcomes]
    (directory / "report.json").write_text(json.dumps(document, indent=2) + "\n")
    if as_json:
        print_json(document)
        return
    out.print(_summary(report, document, training))
    if training is not None and not training.fine_tuned:
        err.print(_why_none(settings, report))
    err.print(f"Tables and report are in {directory}")


def _training(settings: Settings, directory: Path, adopt_after: int) -> OfflineTrainer:
    from streams.checkpoint.backend import LocalBackend
    from streams.trainer.offline import OfflineTrainer
    from streams.trainer.process import limit_threads

    limit_threads(settings)
    backend = LocalBackend(directory)
    return OfflineTrainer(settings, backend, adopt_after=adopt_after, on_begin=_show_begin, on_end=_show_end)


def _repeated(settings: Settings, models: str) -> Coach:
    from streams.checkpoint.backend import open_backend
    from streams.metrics import Metrics
    from streams.model_line.loaded import Loaded
    from streams.model_line.recorded import Repeated, recorded

    if models == LIVE:
        from streams.model_line.history import read_lines

        lines, backend = asyncio.run(read_lines(settings)), open_backend(settings.store)
    else:
        lines, backend = recorded(Path(models))
    loaded = Loaded(settings, backend, lines, Metrics(settings))

    def artifact_of(adoption: Adoption, partition: int) -> Artifact | None:
        try:
            return loaded.get(adoption, partition)
        except LookupError:  # the log says why
            raise UsageError(f"announced model {adoption.version} cannot be loaded from {models}") from None

    return Repeated(lines, artifact_of)


def _show_begin(begun: FineTuned) -> None:
    size = f"{begun.samples:,} samples, {begun.positives:,} positive"
    err.print(f"Fine-tune {begun.number} at {moment(begun.clock_ms)}: {size} ...", soft_wrap=True)


def _show_end(done: FineTuned) -> None:
    accepted = done.outcome == "accepted"
    what = f"accepted as {done.version}" if accepted else "; ".join((f"{done.outcome}", *done.reasons))
    if done.withdrawn:
        what += f"; the net in force is withdrawn: {'; '.join(done.withdrawn)}"
    err.print(f"Fine-tune {done.number}: {what} ({done.seconds:.0f} s)", soft_wrap=True)


def _why_none(settings: Settings, report: Report) -> str:
    trainer = settings.trainer
    return (
        f"No fine-tune was due: trainer.every_samples is {trainer.every_samples:,}, trainer.min_samples "
        f"{trainer.min_samples:,}; {report.samples_matured:,} samples settled, the last ones when the file had ended"
    )


def _summary(report: Report, document: dict[str, Any], training: OfflineTrainer | None) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows: list[tuple[str, Any]] = [
        ("events in", report.events_in),
        ("  weighted", report.events_weighted),
        ("  duplicates", report.duplicates),
        ("  heartbeats", report.heartbeats),
        ("  dead letters", report.dead_letters),
        *((f"    {reason}", count) for reason, count in report.dead_letters_by_reason.items()),
        *_training_rows(training),
        ("rows", report.rows),
        *((f"  under {version}", count) for version, count in report.rows_by_model.items()),
        ("samples matured", report.samples_matured),
        ("  positive", report.samples_positive),
        ("log loss", report.log_loss),
        ("AUC", report.auc),
        ("mean probability / positive rate", report.calibration),
        ("mean weight", report.weight_mean),
        *((f"  quantile {q}", value) for q, value in report.weight_quantiles.items()),
        ("seconds", document["seconds"]),
        ("events/s", round(document["events_per_s"])),
    ]
    for name, value in rows:
        table.add_row(name, "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    return table


def _training_rows(training: OfflineTrainer | None) -> list[tuple[str, int]]:
    if training is None:
        return []
    fine_tuned, priors = training.fine_tuned, training.priors.outcomes
    return [
        ("fine-tunes", len(fine_tuned)),
        ("  accepted", sum(done.outcome == "accepted" for done in fine_tuned)),
        ("  the net in force withdrawn", sum(bool(done.withdrawn) for done in fine_tuned)),
        ("priors", len(priors)),
        ("  accepted", priors.count(Outcome.ACCEPTED)),
    ]
