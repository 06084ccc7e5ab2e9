"""All workers together: what the person on call opens first."""

from __future__ import annotations

from deploy.grafana.panels import (
    BYTES,
    BYTES_PER_SECOND,
    ORANGE,
    OWN_ALERTS,
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

JOB = Variable("job", "job", "sie_assigned_partitions", "Prometheus job of the workers.", several=False)
INSTANCE = Variable("instance", "instance", 'sie_assigned_partitions{job=~"$job"}', "Workers.")

SINK = Variable("sink", "job", "sie_sink_rows_total", "Prometheus job of sinks: sie sink.", several=False)

OF_JOB = 'job=~"$job"'
OF_WORKERS = f'{OF_JOB},instance=~"$instance"'
OF_SINKS = 'job=~"$sink"'

QUANTILES = (0.5, 0.99)


def quantiles(series: str, selected: str, by: str = "") -> list[Query]:
    """Median and 99th percentile of a histogram, by ``by`` if it is a label."""
    labels, legend = (f"le,{by}", f" {{{{{by}}}}}") if by else ("le", "")
    rates = f"sum by ({labels}) (rate({series}_bucket{{{selected}}}[$__rate_interval]))"
    return [Query(f"histogram_quantile({q}, {rates})", f"p{q * 100:g}{legend}") for q in QUANTILES]


WELL = Row(
    "Is it well?",
    [
        stat(
            "Workers that do not answer",
            "Targets that Prometheus cannot scrape. A worker that is gone leaves its partitions to the others within"
            " seconds; one that stays away leaves less room for the next.",
            f"count(up{{{OF_JOB}}} == 0) or vector(0)",
            steps=[(1, RED)],
            alerts=("SieWorkerDown", "SieNoWorker", "SieRestartLoop"),
        ),
        stat(
            "Brokers",
            "Whether the brokers answer every worker. While they are away nothing is lost and nothing moves: workers"
            " wait, and go on by themselves.",
            f"min(sie_broker_up{{{OF_WORKERS}}})",
            words={"0": "away", "1": "answer"},
            steps=[(0, RED), (1, "green")],
            alerts=("SieBrokerAway",),
        ),
        stat(
            "Partitions owned",
            "Of the input, by all workers together. Fewer than the topic has: some are nobody's.",
            f"sum(sie_assigned_partitions{{{OF_WORKERS}}})",
            alerts=("SiePartitionUnowned", "SieWorkerNotReady"),
        ),
        stat(
            "Records waiting",
            "In the log and not processed. Unknown while the brokers are away.",
            f"sum(sie_lag_records{{{OF_WORKERS}}})",
            none="unknown",
        ),
        stat(
            "Furthest behind",
            "How long ago the next record of the slowest partition was written. 0: nothing waits.",
            f"max(sie_lag_seconds{{{OF_WORKERS}}})",
            SECONDS,
            steps=[(60, ORANGE), (300, RED)],
            none="unknown",
        ),
        stat(
            "Newest final row",
            "How long ago the newest final rows were confirmed by the brokers. Rows become final as the clock of events"
            " moves on: on a quiet stream this grows by itself.",
            f"time() - max(sie_final_row_timestamp_seconds{{{OF_WORKERS}}} > 0)",
            SECONDS,
            none="none yet",
            alerts=("SieNoFinalRows",),
        ),
        stat(
            "Dead letters, last hour",
            "Records that could not be read; each lies in sie.dead-letters.v1 with its reason: sie tail dead-letters.",
            f"sum(increase(sie_dead_letters_total{{{OF_WORKERS}}}[1h]))",
            steps=[(1, ORANGE)],
            decimals=0,
            alerts=("SieDeadLetters", "SieDeadLetterFlood", "SieBatchesRefused"),
        ),
        stat(
            "Alerts firing",
            "By the rules in deploy/prometheus, which are drawn as red lines into every panel. Each has a runbook.",
            f"count({OWN_ALERTS}) or vector(0)",
            steps=[(1, RED)],
        ),
    ],
)

KEEPS_UP = Row(
    "Does it keep up?",
    [
        Panel(
            "Behind, by partition",
            "Age of the next unprocessed record. A line that climbs like the clock: that partition stands still.",
            [Query(f"sie_lag_seconds{{{OF_WORKERS}}}", "{{partition}} on {{instance}}")],
            SECONDS,
            steps=[(60, ORANGE), (300, RED)],
            low=0,
            alerts=("SieLagOld", "SieLagGrowing"),
        ),
        Panel(
            "Records waiting, by partition",
            "One partition far above the others: a key with too much traffic, or a shard in trouble. No line: the"
            " brokers are away.",
            [Query(f"sie_lag_records{{{OF_WORKERS}}}", "{{partition}} on {{instance}}")],
            low=0,
        ),
        Panel(
            "Events, by outcome",
            "Records read. Weighted ones get a row; duplicates were seen before; heartbeats move the clock.",
            [Query(f"sum by (outcome) (rate(sie_events_total{{{OF_WORKERS}}}[$__rate_interval]))", "{{outcome}}")],
            PER_SECOND,
            low=0,
            stacked=True,
            alerts=("SieEventsStopped",),
        ),
        Panel(
            "From arrival to published",
            "From a record's fetch to the confirmation of its rows: what a worker itself adds.",
            quantiles("sie_arrival_to_publish_seconds", OF_WORKERS),
            SECONDS,
            low=0,
            alerts=("SieFreshnessBurnFast", "SieFreshnessBurnSlow"),
        ),
        Panel(
            "From event to published",
            "From when a row became known, by the events' own clock. Replays and late producers show here.",
            quantiles("sie_event_to_publish_seconds", OF_WORKERS),
            SECONDS,
            low=0,
        ),
        Panel(
            "Where a batch's time goes, p99",
            "By stage: lying in the log until fetched, waiting for its shard, processed, handed to the producer,"
            " confirmed. docs/operating.md says what each means.",
            quantiles("sie_stage_seconds", OF_WORKERS + ',stage=~"fetch|queue|process|publish|deliver"', "stage")[-1:],
            SECONDS,
            low=0,
        ),
    ],
)

LOST = Row(
    "Is anything refused or held back?",
    [
        Panel(
            "Dead letters, by reason",
            "Records that could not be read. Many at once: a producer has changed what it writes.",
            [
                Query(
                    f"sum by (reason) (increase(sie_dead_letters_total{{{OF_WORKERS}}}[$__rate_interval]))",
                    "{{reason}}",
                )
            ],
            low=0,
            stacked=True,
        ),
        Panel(
            "Settled too early",
            "Samples that got their label before their window ended, for want of room: labels.max_open_views is too"
            " small for this traffic.",
            [
                Query(
                    f"sum(rate(sie_settled_early_samples_total{{{OF_WORKERS}}}[$__rate_interval])) or vector(0)",
                    "samples",
                )
            ],
            PER_SECOND,
            low=0,
            alerts=("SieSettledEarly",),
        ),
        Panel(
            "Published and not confirmed",
            "Bytes by worker. At kafka.max_unacked_bytes processing pauses: the brokers are slow or away.",
            [Query(f"sie_unacked_bytes{{{OF_WORKERS}}}", "{{instance}}")],
            BYTES,
            low=0,
            alerts=("SieUnackedNearBound",),
        ),
    ],
)

SAFE = Row(
    "Is the state safe, and what does it take?",
    [
        Panel(
            "Work that no checkpoint covers",
            "How long ago the oldest such work was done. Above a minute the watchdog ends the worker: the store is slow"
            " or away.",
            [Query(f"max by (instance) (sie_checkpoint_age_seconds{{{OF_WORKERS}}})", "{{instance}}")],
            SECONDS,
            steps=[(30, ORANGE), (60, RED)],
            low=0,
            alerts=("SieCheckpointOld", "SieCheckpointsStopped"),
        ),
        Panel(
            "Time of a checkpoint",
            "From snapshot to durable; nothing waits for it.",
            quantiles("sie_checkpoint_seconds", OF_WORKERS),
            SECONDS,
            low=0,
        ),
        Panel(
            "Written by checkpoints",
            "Bytes a second to the store.",
            [
                Query(
                    f"sum by (instance) (rate(sie_checkpoint_bytes_total{{{OF_WORKERS}}}[$__rate_interval]))",
                    "{{instance}}",
                )
            ],
            BYTES_PER_SECOND,
            low=0,
        ),
        Panel(
            "Memory",
            "Resident, by worker, and what its shards' tables take of it.",
            [
                Query(f"process_resident_memory_bytes{{{OF_WORKERS}}}", "resident, {{instance}}"),
                Query(f"sum by (instance) (sie_table_bytes{{{OF_WORKERS}}})", "tables, {{instance}}"),
            ],
            BYTES,
            low=0,
            alerts=("SieMemoryNearLimit",),
        ),
        Panel(
            "Fullest table",
            "Entities remembered over entities that there is room for, by kind, of the fullest shard. At 100 % the"
            " longest unseen makes room for each new one, which loses little until evictions are many.",
            [
                Query(
                    f"max by (kind) (sie_entity_slots{{{OF_WORKERS}}} / on (job, instance, kind) group_left"
                    f" sie_entity_slots_limit{{{OF_WORKERS}}})",
                    "{{kind}}",
                )
            ],
            SHARE,
            low=0,
            high=1,
            alerts=("SieEntitiesForgotten",),
        ),
        Panel(
            "Processor",
            "Cores that each worker keeps busy, by thread.",
            [
                Query(
                    f"sum by (instance, thread) (rate(sie_thread_cpu_seconds_total{{{OF_WORKERS}}}[$__rate_interval]))",
                    "{{thread}}, {{instance}}",
                )
            ],
            "suffix: cores",
            low=0,
            stacked=True,
        ),
    ],
)

LAKE = Row(
    "Does the lake keep up?",
    [
        stat(
            "Sinks that do not answer",
            "Processes of sie sink that Prometheus cannot scrape. What is missing meanwhile waits in the topics.",
            f"count(up{{{OF_SINKS}}} == 0) or vector(0)",
            width=6,
            steps=[(1, RED)],
            alerts=("SieSinkDown",),
        ),
        stat(
            "Newest commit",
            "How long ago rows were committed last, of the table that has waited longest. On a quiet stream this grows"
            " by itself.",
            f"time() - min(max by (stream) (sie_sink_last_commit_timestamp_seconds{{{OF_SINKS}}}))",
            SECONDS,
            width=6,
            none="none yet",
            alerts=("SieSinkStalled",),
        ),
        stat(
            "Messages that tables lack",
            "Of weights and samples together. Unknown while the brokers do not answer.",
            f"sum(sie_sink_lag_messages{{{OF_SINKS}}})",
            width=6,
            none="unknown",
        ),
        stat(
            "Passed over, last hour",
            "Messages that could not be read: their rows are in no table.",
            f"sum(increase(sie_sink_unreadable_messages_total{{{OF_SINKS}}}[1h]))",
            width=6,
            steps=[(1, ORANGE)],
            decimals=0,
            alerts=("SieSinkUnreadable",),
        ),
        Panel(
            "Messages that a table lacks",
            "Goes up as messages come, and down with each commit. A floor that rises: more comes than is committed.",
            [Query(f"sum by (stream) (sie_sink_lag_messages{{{OF_SINKS}}})", "{{stream}}")],
            low=0,
            alerts=("SieSinkBehind",),
        ),
        Panel(
            "Rows committed",
            "Of weights final ones alone, unless the sink was told otherwise: these come a window after their events.",
            [Query(f"sum by (stream) (rate(sie_sink_rows_total{{{OF_SINKS}}}[$__rate_interval]))", "{{stream}}")],
            PER_SECOND,
            low=0,
        ),
        Panel(
            "Time that commits take",
            "Share of the time in which a commit is under way, and nothing of the stream is read. After a change of"
            " owners commits also look into the table.",
            [
                Query(
                    f"sum by (stream) (rate(sie_sink_commit_seconds_total{{{OF_SINKS}}}[$__rate_interval]))",
                    "{{stream}}",
                )
            ],
            SHARE,
            low=0,
        ),
    ],
)

FLEET = Dashboard(
    "sie-fleet",
    "sie-online: fleet",
    "All workers together: are they well, do they keep up, is anything lost, is the state safe; does the lake keep up.",
    [JOB, INSTANCE, SINK],
    [WELL, KEEPS_UP, LOST, SAFE, LAKE],
)
