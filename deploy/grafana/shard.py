"""One partition: all that a shard tells of itself."""

from __future__ import annotations

from deploy.grafana.fleet import INSTANCE, JOB, OF_WORKERS
from deploy.grafana.panels import (
    BYTES,
    COUNT,
    ORANGE,
    PER_SECOND,
    RED,
    SECONDS,
    SHARE,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
    stat,
)

PARTITION = Variable(
    "partition",
    "partition",
    f"sie_guard_strength{{{OF_WORKERS}}}",
    "Partition of the input topic: one shard holds all that is learned from it.",
    several=False,
)
OF_SHARD = f'{OF_WORKERS},partition=~"$partition"'

STANDS = Row(
    "Where does it stand?",
    [
        Panel(
            "Owner",
            "The worker that holds it, and under which epoch. Two at once: a takeover within the last scrape.",
            [Query(f"max by (instance) (sie_epoch{{{OF_SHARD}}})")],
            kind="table",
            column="epoch",
            width=6,
        ),
        Panel(
            "Behind",
            "Age of its next unprocessed record; 0 where none waits.",
            [Query(f"sie_lag_seconds{{{OF_SHARD}}}", "{{instance}}")],
            SECONDS,
            width=6,
            steps=[(60, ORANGE), (300, RED)],
            low=0,
        ),
        Panel(
            "Records waiting",
            "In its log and not processed. No line: the brokers are away.",
            [Query(f"sie_lag_records{{{OF_SHARD}}}", "{{instance}}")],
            width=6,
            low=0,
        ),
        Panel(
            "Its clock, behind the wall's",
            "Latest event time seen. Windows end by this clock: one that stands still settles nothing.",
            [Query(f"time() - (sie_event_time_seconds{{{OF_SHARD}}} > 0)", "{{instance}}")],
            SECONDS,
            width=6,
            alerts=("SieEventTimeStandsStill", "SieEventTimeAhead"),
        ),
    ],
)

DOES = Row(
    "What does it do?",
    [
        Panel(
            "Events, by type",
            "Records read.",
            [Query(f"sum by (type) (rate(sie_events_total{{{OF_SHARD}}}[$__rate_interval]))", "{{type}}")],
            PER_SECOND,
            low=0,
            stacked=True,
        ),
        Panel(
            "Rows",
            "Rows of weights confirmed, and samples whose label became final.",
            [
                Query(f"sum(rate(sie_published_rows_total{{{OF_SHARD}}}[$__rate_interval]))", "rows"),
                Query(
                    f"sum by (label) (rate(sie_settled_samples_total{{{OF_SHARD}}}[$__rate_interval]))",
                    "settled, {{label}}",
                ),
            ],
            PER_SECOND,
            low=0,
        ),
        Panel(
            "Work that no checkpoint covers",
            "How long ago the oldest such work was done; 0 while all is covered.",
            [Query(f"sie_checkpoint_age_seconds{{{OF_SHARD}}}", "{{instance}}")],
            SECONDS,
            steps=[(30, ORANGE), (60, RED)],
            low=0,
        ),
    ],
)

HOLDS = Row(
    "What does it hold?",
    [
        Panel(
            "Open views",
            "Samples that wait for their label, over as many as it may hold. At 100 % the oldest settles early.",
            [
                Query(
                    f"sie_open_views{{{OF_SHARD}}} / on (job, instance) group_left"
                    f" sie_open_views_limit{{{OF_WORKERS}}}",
                    "{{instance}}",
                )
            ],
            SHARE,
            width=6,
            steps=[(0.9, ORANGE), (1, RED)],
            low=0,
            alerts=("SieOpenViewsNearLimit",),
        ),
        Panel(
            "Entities",
            "Remembered, over as many as there is room for.",
            [
                Query(
                    f"sie_entity_slots{{{OF_SHARD}}} / on (job, instance, kind) group_left"
                    f" sie_entity_slots_limit{{{OF_WORKERS}}}",
                    "{{kind}}",
                )
            ],
            SHARE,
            width=6,
            low=0,
            high=1,
        ),
        Panel(
            "Evictions",
            "Entities that were forgotten to make room for new ones. Many a second: a table is too small for the"
            " traffic, or somebody sends ever new ids.",
            [Query(f"sum by (kind) (rate(sie_evictions_total{{{OF_SHARD}}}[$__rate_interval]))", "{{kind}}")],
            PER_SECOND,
            width=6,
            low=0,
        ),
        Panel(
            "Memory of its tables",
            "What they take now, and the most they can take.",
            [
                Query(f"sie_table_bytes{{{OF_SHARD}}}", "taken"),
                Query(f"max(sie_table_bytes_limit{{{OF_WORKERS}}})", "bound"),
            ],
            BYTES,
            width=6,
            low=0,
        ),
    ],
)

SAYS = Row(
    "What does it say?",
    [
        Panel(
            "Weights",
            "Of events at their first statement, how many lay where.",
            [Query(f"sum by (le) (increase(sie_weight_bucket{{{OF_SHARD}}}[$__rate_interval]))", "{{le}}")],
            COUNT,
            kind="heatmap",
        ),
        Panel(
            "Guard",
            "How much of the weighting it lets through: 1 all, 0 none.",
            [Query(f"sie_guard_strength{{{OF_SHARD}}}", "strength")],
            SHARE,
            low=0,
            high=1,
        ),
        Panel(
            "Evidence",
            "Natural logarithm of the evidence that weights help or harm, on settled views. Above the line it is"
            " established (guard.alpha = 0.05).",
            [Query(f"sie_guard_log_evidence{{{OF_SHARD}}}", "{{side}}")],
            COUNT,
            steps=[(3.0, ORANGE)],
        ),
        stat(
            "Effective sample size",
            "Of the weights, over the number of samples: how much of the data is still heard.",
            f"min(sie_effective_sample_ratio{{{OF_SHARD}}})",
            SHARE,
            width=6,
        ),
        stat(
            "Views judged",
            "Settled views by which the guard has judged.",
            f"max(sie_guard_judged_views{{{OF_SHARD}}})",
            width=6,
        ),
        Panel(
            "Models in force",
            "Announcement in force, by model; 0: what is part of the package.",
            [Query(f"max by (model) (sie_model_adopted{{{OF_SHARD}}})", "{{model}}")],
            kind="stat",
            width=12,
        ),
    ],
)

SHARD = Dashboard(
    "sie-shard",
    "sie-online: one shard",
    "One partition of the input: where its shard stands, what it does, holds and says.",
    [JOB, INSTANCE, PARTITION],
    [STANDS, DOES, HOLDS, SAYS],
)
