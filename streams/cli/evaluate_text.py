"""What ``sie evaluate`` has to say at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sie_online.evaluation.report import EvaluationReport
from sie_online.settings import Settings
from streams.trainer.metrics import TrainingOutcome

if TYPE_CHECKING:
    from streams.trainer.offline import OfflineTrainer


def why_none(settings: Settings, report: EvaluationReport) -> str:
    """Why no fine-tune was due."""
    trainer = settings.trainer
    return (
        f"No fine-tune was due: trainer.every_samples is {trainer.every_samples:,}, trainer.min_samples "
        f"{trainer.min_samples:,}; {report.samples_matured:,} samples settled, the last ones when the file had ended"
    )


def summary(report: EvaluationReport, document: Mapping[str, Any], training: OfflineTrainer | None) -> Table:
    """The figures of a report as a table for people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows: list[tuple[str, Any]] = [
        ("events in", report.events_in),
        ("  weighted", report.events_weighted),
        ("  duplicates", report.duplicates),
        ("  heartbeats", report.heartbeats),
        ("  dead letters", report.dead_letters),
        *((f"    {reason}", count) for reason, count in sorted(report.source.dead_letters_by_reason.items())),
        *([("attributes dropped", report.source.attributes_dropped)] if report.source.attributes_dropped else ()),
        *([("rows left out", report.source.skipped)] if report.source.skipped else ()),
        *_training_rows(training),
        ("rows", report.rows),
        *((f"  under {version}", count) for version, count in report.rows_by_model.items()),
        ("settled samples, all", report.samples_matured),
        ("  positive", report.samples_positive),
        ("  log loss of what was predicted", report.log_loss),
        ("  AUC", report.auc),
        ("  mean probability / positive rate", report.calibration),
        *_scored_rows(report),
        ("mean weight", report.weight_mean),
        *((f"  quantile {q}", value) for q, value in report.weight_quantiles.items()),
        *_list_rows(report),
        ("seconds", document["seconds"]),
        ("events/s", round(document["events_per_s"])),
    ]
    for name, value in rows:
        table.add_row(name, "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    return table


def _scored_rows(report: EvaluationReport) -> list[tuple[str, int | float | None]]:
    """None where the log is no longer than two windows."""
    scored = report.scored
    if not scored.samples:
        return []
    return [
        ("settled samples, without first and last window", scored.samples),
        ("  positive", scored.positive),
        ("  log loss of what was predicted", scored.log_loss),
        ("  AUC", scored.auc),
    ]


def _list_rows(report: EvaluationReport) -> list[tuple[str, int | float]]:
    if report.lists is None:
        return []
    return [("lists", report.lists.written), ("  share for users not known", report.lists.cold_share)]


def _training_rows(training: OfflineTrainer | None) -> list[tuple[str, int]]:
    if training is None:
        return []
    fine_tuned, priors = training.fine_tuned, training.priors.outcomes
    return [
        ("fine-tunes", len(fine_tuned)),
        ("  accepted", sum(done.outcome == "accepted" for done in fine_tuned)),
        ("  the net in force withdrawn", sum(bool(done.withdrawn) for done in fine_tuned)),
        ("priors", len(priors)),
        ("  accepted", priors.count(TrainingOutcome.ACCEPTED)),
    ]
