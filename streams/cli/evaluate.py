"""``sie evaluate``: weigh a file of events without a broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sie_online.errors import UsageError
from sie_online.evaluation.run import evaluate
from sie_online.evaluation.samples import SAMPLES_FILE, SampleTable
from sie_online.ingest.sources import read_events
from sie_online.settings import Settings
from sie_online.shard import warm_up
from streams.cli import findings
from streams.cli import reading as read
from streams.cli.common import Json, err, get_settings, out, print_json, require_writable
from streams.cli.evaluate_models import ModelOptions, ModelsInForce
from streams.cli.evaluate_text import summary, why_none
from streams.cli.examination import Examination, ExaminationOptions
from streams.cli.given_models import LIVE
from streams.cli.options import with_groups
from streams.cli.progress import compiling, progress

if TYPE_CHECKING:
    from sie_online.evaluation.report import EvaluationReport
    from sie_online.ingest.wire import Chunk
    from streams.trainer.offline import OfflineTrainer


@with_groups
def command(
    *,
    ctx: typer.Context,
    files: read.Files,
    given: read.Given,
    directory: Annotated[Path, typer.Option("--out", help="Folder for the tables and the report.")],
    partitions: Annotated[int, typer.Option(min=1, max=4_096, help="As many shards as the topic has partitions.")] = 1,
    samples: Annotated[
        bool, typer.Option("--samples", help="Write samples.parquet, too: settled samples with features, to train on.")
    ] = False,
    model_options: ModelOptions,
    recs: Annotated[
        bool, typer.Option("--recs", help="Learn to rank beside; write each event's list of items as it stood before.")
    ] = False,
    examined: ExaminationOptions,
    as_json: Json = False,
) -> None:
    """Weigh files of events without a broker: the very rows that workers would publish.

    Writes weights.parquet (the columns of sie.weights.v1), predictions.parquet (event_id, probability as first
    stated), dead_letters.parquet (rows that are no valid event: file, line, reason) and report.json. With --samples
    also samples.parquet (the columns of sie.samples.v1), in the order in which the samples of a partition settled.

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
      sie evaluate events.parquet --out results --samples
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
    model_options.refuse_contradictions()
    if model_options.models == LIVE and examined.pollute is not None:
        raise UsageError("--pollute examines a noise model in a folder: --models DIR or --noise-model DIR, not 'live'")
    lists = {"recommend": {"enabled": True}} if recs else {}
    settings = get_settings(ctx, **model_options.overrides(), **lists)
    reading = given.reading(settings.limits.earliest_ms)
    model_options.require_torch()
    require_writable("--out", directory)
    plan = Plan(
        settings=settings,
        directory=directory,
        partitions=partitions,
        samples=samples,
        lists=recs,
        strict=given.strict,
        examination=Examination.asked(settings, directory, examined),
        models=model_options.in_force(settings, directory),
    )
    report, document = _run(plan, read_events(files, reading, limit=given.limit, note=read.print_note))
    findings.warn_disorder(report.source, settings)
    if as_json:
        print_json(document)
    else:
        _tell(plan, report, document, fine_tunes=model_options.trainer)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done with the events."""

    settings: Settings
    directory: Path
    partitions: int
    samples: bool
    lists: bool
    strict: bool
    examination: Examination
    models: ModelsInForce


def _run(plan: Plan, chunks: Iterable[Chunk]) -> tuple[EvaluationReport, dict[str, Any]]:
    """Weigh the events, then look into what is to be examined; write down what was found as soon as it is."""
    with compiling():
        warm_up(plan.settings)
    begin, started_ms = time.monotonic(), int(time.time() * 1_000)
    report = _weighed(plan, chunks, started_ms)
    document = _document(report, time.monotonic() - begin, plan.models.training)
    _write(plan.directory, document)
    pace = document["events_per_s"] if plan.models.training is None else None
    for found in plan.examination.examine(plan.partitions, started_ms, plan.models.announced, events_per_s=pace):
        document |= found
        _write(plan.directory, document)
    return report, document


def _weighed(plan: Plan, chunks: Iterable[Chunk], started_ms: int) -> EvaluationReport:
    with progress("Evaluate") as advance, ExitStack() as tables:
        listeners = list(plan.examination.listeners)
        if plan.samples:
            listeners.append(tables.enter_context(SampleTable(plan.directory / SAMPLES_FILE, plan.settings)))
        return evaluate(
            chunks,
            plan.settings,
            plan.directory,
            partitions=plan.partitions,
            started_ms=started_ms,
            on_progress=advance,
            model_source=plan.models.source,
            listeners=listeners,
            strict=plan.strict,
            lists=plan.lists,
        )


def _tell(plan: Plan, report: EvaluationReport, document: dict[str, Any], *, fine_tunes: bool) -> None:
    training = plan.models.training
    out.print(summary(report, document, training))
    if report.dead_letters:
        out.print("", findings.dead_letters(report.source), sep="\n", soft_wrap=True)
    if fine_tunes and training is not None and not training.fine_tuned:
        err.print(why_none(plan.settings, report))
    plan.examination.tell()
    err.print(f"Tables and report are in {plan.directory}", soft_wrap=True)


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
