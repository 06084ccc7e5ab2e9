"""Models: what is in force in the workers, and what the trainer beside them makes of the samples."""

from __future__ import annotations

from deploy.grafana.fleet import INSTANCE, JOB, OF_WORKERS
from deploy.grafana.panels import (
    BYTES,
    COUNT,
    ORANGE,
    PER_SECOND,
    RED,
    SECONDS,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
    stat,
)

TRAINER = Variable("trainer", "job", "sie_trainer_window_samples", "Prometheus job of the trainer.", several=False)
OF_TRAINER = 'job=~"$trainer"'
FORCED = f"sie_model_in_force_timestamp_seconds{{{OF_WORKERS}}}"
HOUR = "1h"


def since(timestamp: str) -> str:
    """Seconds since a moment, where there was one."""
    return f"time() - ({timestamp} > 0)"


IN_FORCE = Row(
    "What is in force?",
    [
        Panel(
            "Version, by partition",
            "The version each shard weighs with. Shards switch at offsets of their own: a version may be in force in"
            " one and not yet in the next.",
            [
                Query(
                    f"max by (model, version, partition) (sie_model_in_force_info{{{OF_WORKERS}}})",
                )
            ],
            kind="table",
            width=8,
        ),
        Panel(
            "Age of what is in force",
            "Since its announcement, by model, of the oldest in any shard. 0: what is part of the package.",
            [
                Query(
                    f"max by (model) ({since(FORCED)}) or max by (model) ({FORCED} == 0)",
                    "{{model}}",
                )
            ],
            SECONDS,
            low=0,
        ),
        Panel(
            "Announced and not in force",
            "Announcements that the slowest shard has yet to adopt: it comes to the offset that they name, ahead of"
            " the log's end. Above 0 for long: the shard stands still, or the version cannot be loaded.",
            [
                Query(
                    f"max by (model) (sie_model_announced{{{OF_WORKERS}}})"
                    f" - min by (model) (sie_model_adopted{{{OF_WORKERS}}})",
                    "{{model}}",
                )
            ],
            low=0,
            steps=[(1, ORANGE)],
        ),
        stat(
            "Loads that failed, last hour",
            "The version in force stays where an announced one cannot be loaded: look at the store.",
            f"sum(increase(sie_model_load_failures_total{{{OF_WORKERS}}}[{HOUR}])) or vector(0)",
            width=6,
            steps=[(1, RED)],
            decimals=0,
            alerts=("SieModelLoadFailing",),
        ),
        stat(
            "Adopted late, last hour",
            "A shard heard of a version after the offset from which it applies: rows in between were weighed under the"
            " one before.",
            f"sum(increase(sie_model_late_adoptions_total{{{OF_WORKERS}}}[{HOUR}])) or vector(0)",
            width=6,
            steps=[(1, ORANGE)],
            decimals=0,
            alerts=("SieModelsAdoptedLate",),
        ),
        stat(
            "Trainers that answer",
            "One is enough; without any, workers go on with what is in force.",
            f"sum(up{{{OF_TRAINER}}})",
            width=6,
            steps=[(0, RED), (1, "green")],
            alerts=("SieTrainerDown", "SieTrainerRestarting"),
        ),
        Panel(
            "Trains on",
            "The device of the trainer's nets.",
            [Query(f"max by (device) (sie_trainer_device_info{{{OF_TRAINER}}})", "{{device}}")],
            kind="stat",
            width=6,
            text="name",
        ),
    ],
)

LEARNS = Row(
    "Does the trainer get what it needs?",
    [
        stat(
            "Last fine-tune",
            "Since the end of the newest one, whatever became of it.",
            since(f"max(sie_trainer_last_fine_tune_timestamp_seconds{{{OF_TRAINER}}})"),
            SECONDS,
            width=6,
            none="none yet",
            alerts=("SieFineTuneOverdue",),
        ),
        stat(
            "Samples in the window",
            "Settled samples that the next fine-tune learns from.",
            f"sum(sie_trainer_window_samples{{{OF_TRAINER}}})",
            width=6,
        ),
        stat(
            "Event time in the window",
            "From its oldest sample to its newest, older positives aside.",
            f"max(sie_trainer_window_seconds{{{OF_TRAINER}}})",
            SECONDS,
            width=6,
        ),
        stat(
            "Reads that failed, last hour",
            "Times that the samples topic could not be read, and messages that could not be understood.",
            f"sum(increase(sie_trainer_intake_failures_total{{{OF_TRAINER}}}[{HOUR}]))"
            f" + sum(increase(sie_trainer_unreadable_messages_total{{{OF_TRAINER}}}[{HOUR}]))",
            width=6,
            steps=[(1, ORANGE)],
            decimals=0,
            alerts=("SieTrainerIntakeFailing", "SieModelsTopicUnreadable"),
        ),
        Panel(
            "Samples read",
            "New ones, ones it had, and ones of a feature schema that is no longer in use.",
            [Query(f"sum by (kind) (rate(sie_trainer_samples_total{{{OF_TRAINER}}}[$__rate_interval]))", "{{kind}}")],
            PER_SECOND,
            low=0,
        ),
        Panel(
            "Time of a fine-tune, and of its gate",
            "Mean over the last hour.",
            [
                Query(
                    f"sum(rate(sie_trainer_{part}_seconds_sum{{{OF_TRAINER}}}[{HOUR}]))"
                    f" / sum(rate(sie_trainer_{part}_seconds_count{{{OF_TRAINER}}}[{HOUR}]))",
                    legend,
                )
                for part, legend in (("fine_tune", "fine-tune"), ("gate", "gate"))
            ],
            SECONDS,
            low=0,
        ),
        Panel(
            "Memory of the trainer",
            "Resident. The noise model's fit takes most of it.",
            [Query(f"process_resident_memory_bytes{{{OF_TRAINER}}}", "{{instance}}")],
            BYTES,
            low=0,
        ),
    ],
)

JUDGED = Row(
    "What became of its nets, and why?",
    [
        Panel(
            "Fine-tunes, by outcome",
            "In the last hour. Refused is no fault: most nets bring no evidence of gain. Anything but accepted, refused"
            " and overtaken is one.",
            [
                Query(
                    f"sum by (outcome) (increase(sie_trainer_fine_tunes_total{{{OF_TRAINER}}}[{HOUR}]))",
                    "{{outcome}}",
                )
            ],
            low=0,
            stacked=True,
            alerts=("SieTrainingFailing",),
        ),
        Panel(
            "Verdicts of the gate, by reason",
            "In the last hour: passed, or why not.",
            [
                Query(
                    f"sum by (reason) (increase(sie_trainer_gate_verdicts_total{{{OF_TRAINER}}}[{HOUR}]))",
                    "{{reason}}",
                )
            ],
            low=0,
            stacked=True,
        ),
        Panel(
            "Figures of the newest verdict",
            "What the gate measured on samples that the net had not learned from: gain in log loss over uniform weights"
            " and its lower bound, and what the gate compares.",
            [Query(f"sie_trainer_gate_figures{{{OF_TRAINER}}}", "{{figure}}")],
            COUNT,
            decimals=4,
        ),
        Panel(
            "Validation of the newest candidate",
            "NLL and AUC on its validation part; correlation of its scores with their targets.",
            [Query(f"sie_trainer_validation{{{OF_TRAINER}}}", "{{figure}}")],
            COUNT,
        ),
        Panel(
            "Priors and noise models, by outcome",
            "In the last hour: what the partitions have learned put together, and fits of the noise model.",
            [
                Query(
                    f"sum by (outcome) (increase(sie_trainer_priors_total{{{OF_TRAINER}}}[{HOUR}]))",
                    "priors, {{outcome}}",
                ),
                Query(
                    f"sum by (outcome) (increase(sie_trainer_noise_fits_total{{{OF_TRAINER}}}[{HOUR}]))",
                    "noise, {{outcome}}",
                ),
            ],
            low=0,
            stacked=True,
        ),
        Panel(
            "Taken back",
            "Nets in force that fell behind uniform importance, in the last hour.",
            [Query(f"sum(increase(sie_trainer_withdrawals_total{{{OF_TRAINER}}}[{HOUR}]))", "withdrawn")],
            low=0,
            alerts=("SieModelWithdrawn",),
        ),
    ],
)

MODELS = Dashboard(
    "sie-models",
    "sie-online: models and trainer",
    "What is in force in the workers, and what the trainer beside them makes of the samples.",
    [JOB, INSTANCE, TRAINER],
    [IN_FORCE, LEARNS, JUDGED],
    span="now-6h",
)
