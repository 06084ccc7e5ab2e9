"""What the weights are worth: a recommender that learns with them beside one that does not, and the noise found."""

from __future__ import annotations

from deploy.grafana.fleet import INSTANCE, JOB, OF_WORKERS
from deploy.grafana.panels import (
    COUNT,
    ORANGE,
    PER_SECOND,
    SHARE,
    Choice,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
    stat,
)

PARTITION = Variable("partition", "partition", f"sie_guard_strength{{{OF_WORKERS}}}", "Partitions of the input.")
WINDOW = Choice("window", ("5m", "15m", "1h", "6h", "1d"), "15m", "Figures are means over so long: purchases are rare.")
OF_SHARDS = f'{OF_WORKERS},partition=~"$partition"'


def rate(series: str, labels: str = "", by: str = "") -> str:
    """A counter's rate over the chosen shards and the chosen time, summed but for ``by``."""
    selected = f"{OF_SHARDS},{labels}" if labels else OF_SHARDS
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({series}{{{selected}}}[$window]))"


TWINS = ("uniform", "weighted")
SAMPLES = rate("sie_recommender_samples_total")
POSITIVES = rate("sie_recommender_samples_total", 'label="positive"')
NOISE, JUDGED = rate("sie_noise_probability_total", by="type"), rate("sie_noise_judged_events_total", by="type")


def of_twin(series: str, twin: str) -> str:
    """``rate`` of what is counted for each twin."""
    return rate(series, f'twin="{twin}"')


def log_loss(twin: str) -> str:
    """Mean log loss of a twin's predictions, nats."""
    return f"{of_twin('sie_recommender_log_loss_total', twin)} / {SAMPLES}"


HELPS = Row(
    "Do the weights help?",
    [
        stat(
            "Log loss saved by the weights",
            "How much lower the mean log loss of the twin that learns with the weights is, as a share of the other's."
            " On all samples even perfect weights lose a little: the twin that learns from bots predicts bots best."
            " What counts is a fall against yesterday; the guard judges on people alone.",
            f"1 - ({log_loss('weighted')}) / ({log_loss('uniform')})",
            SHARE,
            width=6,
            decimals=2,
            alerts=("SieWeightedTwinFellBehind",),
        ),
        stat(
            "Guard, weakest",
            "How much of the weighting is published, where it is least: 1 all, 0 none. The guard takes weights back"
            " where the evidence says that they harm.",
            f"min(sie_guard_strength{{{OF_SHARDS}}})",
            SHARE,
            width=6,
        ),
        stat(
            "Effective sample size, least",
            "Of the weights, over the number of samples. Below a third, few samples speak for all.",
            f"min(sie_effective_sample_ratio{{{OF_SHARDS}}})",
            SHARE,
            width=6,
        ),
        stat(
            "Samples that buy",
            "Share of settled samples that were followed by a purchase.",
            f"{POSITIVES} / {SAMPLES}",
            SHARE,
            width=6,
            decimals=2,
        ),
        Panel(
            "Log loss",
            "Mean over settled samples of predictions made before the label was known (progressive validation). The"
            " twins see the same events; one learns with the weights. Lower is better; the distance counts.",
            [Query(log_loss(twin), twin) for twin in TWINS],
            COUNT,
            decimals=4,
            alerts=("SieQualityFell",),
        ),
        Panel(
            "Calibration",
            "Purchases predicted over purchases that came. 1 is right, 2 is twice too many. A step means that what"
            " people do has changed, or that conversions no longer arrive.",
            [Query(f"{of_twin('sie_recommender_predicted_total', twin)} / {POSITIVES}", twin) for twin in TWINS],
            COUNT,
            low=0,
            alerts=("SieCalibrationOff",),
        ),
        Panel(
            "AUC",
            "Of the newest settled samples of each shard, mean over shards: how often a view that led to a purchase was"
            " ranked above one that did not. 0.5 is a coin.",
            [Query(f"avg by (twin) (sie_recommender_auc{{{OF_SHARDS}}})", "{{twin}}")],
            SHARE,
        ),
    ],
)

GUARDED = Row(
    "What does the guard make of it?",
    [
        Panel(
            "Strength, by partition",
            "How much of the weighting is published. One shard near 0: look at its evidence, then at its noise.",
            [Query(f"min by (partition) (sie_guard_strength{{{OF_SHARDS}}})", "{{partition}}")],
            SHARE,
            low=0,
            high=1,
            alerts=("SieGuardStrengthFell",),
        ),
        Panel(
            "Evidence, strongest",
            "Natural logarithm of the evidence that weights help or harm. Above the line it is established"
            " (guard.alpha = 0.05).",
            [Query(f"max by (side) (sie_guard_log_evidence{{{OF_SHARDS}}})", "{{side}}")],
            COUNT,
            steps=[(3.0, ORANGE)],
        ),
        Panel(
            "Settled samples",
            "By label. None at all while events come: their clock stands still, or the window has not passed yet.",
            [Query(rate("sie_settled_samples_total", by="label"), "{{label}}")],
            PER_SECOND,
            low=0,
            stacked=True,
        ),
    ],
)

FOUND = Row(
    "Is there noise, and is it found?",
    [
        Panel(
            "Mean P(noise), by type",
            "Of events at their first statement. A step: a crawler or a campaign of brushed orders has begun, or a new"
            " client sends other signals.",
            [Query(f"{NOISE} / {JUDGED}", "{{type}}")],
            SHARE,
            low=0,
        ),
        Panel(
            "Held for noise, by type",
            "Share of events with P(noise) above a half.",
            [Query(f"{rate('sie_noisy_events_total', by='type')} / {JUDGED}", "{{type}}")],
            SHARE,
            low=0,
            alerts=("SieNoiseShareJumped",),
        ),
        Panel(
            "Weights",
            "Of events at their first statement, how many lay where.",
            [Query(f"sum by (le) (increase(sie_weight_bucket{{{OF_SHARDS}}}[$__rate_interval]))", "{{le}}")],
            COUNT,
            kind="heatmap",
        ),
    ],
)

QUALITY = Dashboard(
    "sie-quality",
    "sie-online: quality",
    "Do the weights help, does the guard agree, and is noise found.",
    [JOB, INSTANCE, PARTITION, WINDOW],
    [HELPS, GUARDED, FOUND],
    span="now-6h",
)
