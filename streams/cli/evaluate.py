"""``sie evaluate``: weigh a file of events without a broker."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sie_online.errors import UsageError
from sie_online.evaluation.run import BATCH_RECORDS, ModelSource, evaluate
from sie_online.ingest.sources import read_events
from sie_online.moments import moment
from sie_online.settings import Settings
from sie_online.shard import warm_up
from streams.cli import findings, noise_text
from streams.cli import reading as read
from streams.cli.common import Json, err, get_settings, out, print_json, require_writable
from streams.cli.evaluate_text import summary, why_none
from streams.cli.examination import Examination
from streams.cli.given_models import LIVE, beginning, repeated
from streams.cli.progress import compiling, progress

if TYPE_CHECKING:
    from models.manifest import Manifest
    from sie_online.evaluation.report import EvaluationReport
    from streams.trainer.offline import FineTuned, OfflineTrainer


@read.with_options
def command(
    ctx: typer.Context,
    files: read.Files,
    given: read.Given,
    directory: Annotated[Path, typer.Option("--out", help="Folder for the tables and the report.")],
    partitions: Annotated[int, typer.Option(min=1, max=4_096, help="As many shards as the topic has partitions.")] = 1,
    trainer: Annotated[
        bool, typer.Option("--trainer", help="Fit noise model and importance net beside the events; adopt what passes.")
    ] = False,
    noise_fit: Annotated[
        bool | None,
        typer.Option(
            "--noise-fit/--no-noise-fit", help="Fit the noise model beside the events; as --trainer unless said."
        ),
    ] = None,
    noise_model: Annotated[
        Path | None,
        typer.Option(
            "--noise-model", metavar="DIR", help="Begin with the noise model that 'sie fit-noise' left in DIR."
        ),
    ] = None,
    adopt_after: Annotated[
        int, typer.Option(metavar="M", min=1, help="An announced net applies M offsets later, in every partition.")
    ] = BATCH_RECORDS,
    models: Annotated[
        str | None, typer.Option(metavar="DIR", help="Repeat what --trainer announced in DIR; 'live': the broker's.")
    ] = None,
    recs: Annotated[
        bool, typer.Option("--recs", help="Learn to rank beside; write each event's list of items as it stood before.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train learners with and without the weights: do they help?")
    ] = False,
    pollute: Annotated[
        str | None,
        typer.Option(
            "--pollute",
            metavar="SEEDS",
            help="Mix random behaviours into the events and see what is found: 1 or 1,2,3.",
        ),
    ] = None,
    families: Annotated[
        str | None,
        typer.Option("--families", metavar="NAMES", help="Of behaviours, for --pollute; else all that pollute."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Weigh files of events without a broker: the very rows that workers would publish.

    Writes weights.parquet (the columns of sie.weights.v1), predictions.parquet (event_id, probability as first
    stated), dead_letters.parquet (rows that are no valid event: file, line, reason) and report.json.

    With --trainer or --noise-fit, the noise model is fitted on the events so far once there are
    trainer.noise.min_events, and anew whenever they have doubled (trainer.noise.growth). With --trainer, every
    trainer.every_samples newly settled samples (of all partitions, in the file's order) the net is fine-tuned. Both go
    through their gates as by 'sie trainer', but in step with the events; trainer.every_s counts for nothing. What was
    announced lies in DIR/models, refused candidates too. The same file, settings and seeds give the same rows again on
    a CPU; --models repeats them bit for bit anywhere, without torch.

    With --trainer, what several partitions learn is put together meanwhile, and applies from the next offset on.

    --compare trains a context logistic regression and an embedding net on the samples that had settled when the last
    30 % begin: with uniform, published and permuted weights, with each factor alone and left out. It scores them on
    what came later, in pairs and by users, and ends with a sentence: the weights help, harm, or no evidence.

    --pollute weighs the newest 200,000 events anew for every seed and family of behaviours, with behaviours of that
    family mixed in, and says how well they are detected, what innocents lose, and how much of a perfect detector's gain
    the weights reach. Where a noise model was fitted, given or repeated, that is examined, from the first event on; no
    net is. With all families that takes about a second for every 1,000 events and seed.

    Both draw their pictures in DIR/report.html.

    --recs switches recommend.enabled on and writes recs.parquet (event_id, items): of every event the list of
    recommend.list_length items that its user would have been shown just before, best first. It goes to any top-N
    measure as it is; what the settings of section recommend do for your log shows in minutes.

    --models live takes the announcements from sie.models.v1 and the nets from the store. They name offsets of the
    live partitions: repeat them over that log from its beginning, with as many partitions.

    [bold]Examples[/bold]
      sie evaluate events.parquet --out results
      sie evaluate UserBehavior.csv --preset taobao --limit 1000000 --out taobao
      sie evaluate shop.csv --map item_id=product_id --types addtocart=cart --time-unit s --out shop
      zcat clicks-*.jsonl.gz | sie evaluate - --format jsonl --out clicks --strict
      sie --set importance.combine=product evaluate events.parquet --out product --partitions 4
      sie --set trainer.every_samples=10000 evaluate events.parquet --out trained --trainer
      sie evaluate events.parquet --out again --models trained
      sie evaluate events.parquet --out own --noise-fit
      sie fit-noise events.parquet --out fitted && sie evaluate new.parquet --out new --noise-model fitted
      sie evaluate events.parquet --out lists --recs
      sie --set recommend.seen=exclude evaluate events.parquet --out new-items --recs --partitions 4
      sie evaluate events.parquet --out results --compare
      sie evaluate events.parquet --out results --pollute 1,2,3 --families crawler,fake_orders
    """
    if models is not None and (trainer or noise_fit or noise_model is not None):
        raise UsageError("--trainer, --noise-fit and --noise-model announce and --models repeats: choose one")
    if models == LIVE and pollute is not None:
        raise UsageError("--pollute examines a noise model in a folder: --models DIR or --noise-model DIR, not 'live'")
    fits = trainer if noise_fit is None else noise_fit
    overrides: dict[str, Any] = {} if fits else {"trainer": {"noise": {"enabled": False}}}
    settings = get_settings(ctx, **overrides, **({"recommend": {"enabled": True}} if recs else {}))
    reading = given.reading(settings.limits.earliest_ms)
    if trainer or fits:
        from streams.trainer.process import require_torch

        require_torch()
    require_writable("--out", directory)
    examination = Examination.asked(settings, directory, compare=compare, seeds=pollute, families=families)
    begin_with = None if noise_model is None else noise_text.given(noise_model)
    training = _training(settings, directory, adopt_after, begin_with, net=trainer) if trainer or fits else None
    model_source: ModelSource | None = training
    if models is not None:
        model_source = repeated(settings, models)
    elif training is None and begin_with is not None:
        model_source = beginning(settings, directory, begin_with)
    chunks = read_events(files, reading, limit=given.limit, note=read.print_note)
    with compiling():
        warm_up(settings)
    begin, started_ms = time.monotonic(), int(time.time() * 1_000)
    with progress("Evaluate") as advance:
        report = evaluate(
            chunks,
            settings,
            directory,
            partitions=partitions,
            started_ms=started_ms,
            on_progress=advance,
            model_source=model_source,
            listeners=examination.listeners,
            strict=given.strict,
            lists=recs,
        )
    document = _document(report, time.monotonic() - begin, training)
    _write(directory, document)
    pace = document["events_per_s"] if training is None else None
    announced = str(directory) if models is None and model_source is not None else models
    for found in examination.examine(partitions, started_ms, announced, events_per_s=pace):
        document |= found
        _write(directory, document)
    findings.warn_disorder(report.source, settings)
    if as_json:
        print_json(document)
        return
    out.print(summary(report, document, training))
    if report.dead_letters:
        out.print("", findings.dead_letters(report.source), sep="\n", soft_wrap=True)
    if trainer and training is not None and not training.fine_tuned:
        err.print(why_none(settings, report))
    examination.tell()
    err.print(f"Tables and report are in {directory}", soft_wrap=True)


def _write(directory: Path, document: dict[str, Any]) -> None:
    (directory / "report.json").write_text(json.dumps(document, indent=2) + "\n")


def _document(report: EvaluationReport, seconds: float, training: OfflineTrainer | None) -> dict[str, Any]:
    paced = {"seconds": seconds, "events_per_s": report.events_in / max(seconds, 1e-9)}
    document = findings.flat(asdict(report)) | paced
    if report.lists is None:
        del document["lists"]
    if training is not None:
        document["fine_tunes"] = [asdict(done) for done in training.fine_tuned]
        document["noise_fits"] = [asdict(done) for done in training.noise.fitted]
        document["priors"] = [str(outcome) for outcome in training.priors.outcomes]
    return document


def _training(
    settings: Settings, directory: Path, adopt_after: int, begin_with: tuple[bytes, Manifest] | None, *, net: bool
) -> OfflineTrainer:
    from streams.store import LocalStore
    from streams.trainer.offline import OfflineTrainer
    from streams.trainer.process import limit_threads

    limit_threads(settings)
    store = LocalStore(directory)
    training = OfflineTrainer(
        settings,
        store,
        adopt_after=adopt_after,
        net=net,
        on_begin=_show_begin,
        on_end=_show_end,
        on_noise_begin=noise_text.show_begin,
        on_noise_end=noise_text.show_end,
    )
    if begin_with is not None:
        training.begin_with(*begin_with)
    return training


def _show_begin(begun: FineTuned) -> None:
    size = f"{begun.samples:,} samples, {begun.positives:,} positive"
    err.print(f"Fine-tune {begun.number} at {moment(begun.clock_ms)}: {size} ...", soft_wrap=True)


def _show_end(done: FineTuned) -> None:
    accepted = done.outcome == "accepted"
    what = f"accepted as {done.version}" if accepted else "; ".join((f"{done.outcome}", *done.reasons))
    if done.withdrawn:
        what += f"; the net in force is withdrawn: {'; '.join(done.withdrawn)}"
    err.print(f"Fine-tune {done.number}: {what} ({done.seconds:.0f} s)", soft_wrap=True)
