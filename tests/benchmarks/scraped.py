"""What a worker's metrics say: outcomes, stages, threads."""

from __future__ import annotations

import math
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from sie_online.settings import Settings

QUANTILES = (0.5, 0.99)
THREADS = "sie_thread_cpu_seconds_total"


def scrape(settings: Settings) -> list[Sample]:
    """The worker's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.web.port}/metrics", timeout=20) as reply:
        families = text_string_to_metric_families(reply.read().decode())
    return [sample for family in families for sample in family.samples]


def outcomes(samples: Sequence[Sample]) -> Counter[str]:
    """Records by what became of them."""
    counts: Counter[str] = Counter()
    for sample in samples:
        if sample.name == "sie_events_total":
            counts[sample.labels["outcome"]] += int(sample.value)
    return counts


def value(samples: Sequence[Sample], name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(sample.value for sample in samples if sample.name == name)


def inside(samples: Sequence[Sample]) -> dict[str, float]:
    """Where the worker's time went, over its whole life up to the last event."""
    stages = {
        f"{sample.labels['stage']}_s": sample.value for sample in samples if sample.name == "sie_stage_seconds_sum"
    }
    times = {s.labels["stage"]: s.value for s in samples if s.name == "sie_stage_seconds_count"}
    return stages | {
        "snapshots": times.get("snapshot", 0.0),
        "settled": value(samples, "sie_settled_samples_total"),
        "announcements": value(samples, "sie_model_announced"),
        "heard_by_shards": times.get("adopt", 0.0),
        "late_adoptions": value(samples, "sie_model_late_adoptions_total"),
        "checkpoints": value(samples, "sie_checkpoint_seconds_count"),
        "durable_s": value(samples, "sie_checkpoint_seconds_sum"),
        "checkpoint_mb": value(samples, "sie_checkpoint_bytes_total") / 1e6,
        "resident_mb": value(samples, "process_resident_memory_bytes") / 1e6,
    }


def thread_us(before: Sequence[Sample], after: Sequence[Sample]) -> dict[str, float]:
    """Processor time by thread between two scrapes, µs a record done meanwhile; nothing where none was done."""
    done = outcomes(after).total() - outcomes(before).total()
    spent, spent_before = _by_label(after, THREADS, "thread"), _by_label(before, THREADS, "thread")
    if not done:
        return {}
    return {name: 1e6 * (seconds - spent_before.get(name, 0.0)) / done for name, seconds in spent.items()}


def stage_quantiles(after: Sequence[Sample], before: Sequence[Sample] = ()) -> dict[str, dict[str, float]]:
    """Median, 99th percentile and upper bound of the longest, in ms by stage, between two scrapes.

    ``durable`` is the time to make a checkpoint durable. Interpolated within buckets as Prometheus does.
    """
    late, early = _buckets(after), _buckets(before)
    found = {}
    for stage, counts in late.items():
        new = {edge: n - early.get(stage, {}).get(edge, 0.0) for edge, n in counts.items()}
        if max(new.values()) > 0:
            told = {f"p{100 * q:g}": 1000 * bucket_quantile(new, q) for q in QUANTILES}
            found[stage] = told | {"max": 1000 * bucket_quantile(new, 1.0)}
    return found


def bucket_quantile(counts: Mapping[float, float], q: float) -> float:
    """Quantile ``q`` of a histogram given as cumulated counts by upper bound, linear within a bucket.

    In the open last bucket: the bound below it, which is then too little.
    """
    edges = sorted(counts)
    wanted, low, below = q * counts[edges[-1]], 0.0, 0.0
    for edge in edges:
        if counts[edge] >= wanted and counts[edge] > below:
            if math.isinf(edge):
                return low
            return low + (edge - low) * (wanted - below) / (counts[edge] - below)
        low, below = edge, counts[edge]
    return low


def _by_label(samples: Sequence[Sample], name: str, label: str) -> dict[str, float]:
    return {sample.labels[label]: sample.value for sample in samples if sample.name == name}


def _buckets(samples: Sequence[Sample]) -> dict[str, dict[float, float]]:
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for sample in samples:
        if sample.name == "sie_stage_seconds_bucket":
            found[sample.labels["stage"]][float(sample.labels["le"])] = sample.value
        elif sample.name == "sie_checkpoint_seconds_bucket":
            found["durable"][float(sample.labels["le"])] = sample.value
    return found
