"""``docs/metrics.md`` is the whole truth about names: every metric is on it, with its labels, and no other."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from sie_online.client.availability import Availability
from sie_online.settings import Settings
from streams.lake.metrics import SinkMetrics
from streams.observe.broker_metrics import watch_broker
from streams.observe.metrics import Metrics
from streams.trainer.metrics import GATE_FIGURES, TrainerMetrics
from tests.support.brokers import ROOT
from tests.support.metrics import busy
from tests.support.requirements import PROMETHEUS, need

PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
ROW = re.compile(r"^\| `(sie_\w+)` \| (.*?) \|", re.MULTILINE)
PARTS = ("_bucket", "_sum", "_count")


def of_a_worker() -> CollectorRegistry:
    """All that a worker with a trainer beside it registers."""
    metrics = Metrics(Settings())
    watch_broker(metrics.registry, Availability(Settings()))
    metrics.watch_trainer(lambda: 0)
    metrics.count_unreadable_models(lambda: 0)
    metrics.queries({"score"}).observe("score", 200, 0.01)
    busy(metrics)
    return metrics.registry


def of_a_trainer() -> CollectorRegistry:
    """All that a trainer registers."""
    metrics = TrainerMetrics()
    watch_broker(metrics.registry, Availability(Settings()))
    metrics.count_unreadable_models(lambda: 0)
    return metrics.registry


def of_a_sink() -> CollectorRegistry:
    """All that a sink registers."""
    metrics = SinkMetrics(["weights", "samples"])
    watch_broker(metrics.registry, Availability(Settings()))
    return metrics.registry


def names(registry: CollectorRegistry) -> set[str]:
    """Of our metrics, as they are on the wire; of a histogram without the endings of its parts."""
    families = [family for family in registry.collect() if family.name.startswith("sie_")]
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def section(title: str) -> str:
    """The page from ``title`` to the next heading of its level."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def said(title: str) -> dict[str, set[str]]:
    """Labels by metric, by the tables of a section."""
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in ROW.findall(section(title))}


def queries() -> list[str]:
    """All PromQL of the page."""
    rows = [line.split(" | ", 1)[1] for line in PAGE.splitlines() if line.startswith("| ") and "?" not in line]
    return [
        query for row in rows if not row.startswith("`partition`") for query in re.findall(r"`([^`]*sie_[^`]*)`", row)
    ]


@pytest.mark.parametrize(
    ("title", "registry"),
    [
        ("All of a worker's", of_a_worker()),
        ("All of a trainer's", of_a_trainer()),
        ("All of a sink's", of_a_sink()),
    ],
)
def test_the_page_lists_every_metric_and_no_other(title: str, registry: CollectorRegistry) -> None:
    listed = ROW.findall(section(title))
    assert sorted(name for name, _ in listed) == sorted(names(registry))


def test_labels_are_as_the_page_says() -> None:
    page = said("All of a worker's")
    for family in of_a_worker().collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        for sample in family.samples if name in page else ():
            assert sample.labels.keys() - {"le"} == page[name], name


def test_figures_of_the_gate_are_named() -> None:
    endings = {figure.partition("_")[2] if not figure.startswith("gain") else figure for figure in GATE_FIGURES}
    missing = {name for name in endings if not name.endswith("_lower")} - set(re.findall(r"`(\w+)`", PAGE))
    assert missing == set()


def used(queries: Iterable[str]) -> Iterator[str]:
    """The metrics that queries read, a histogram's by its family."""
    for name in re.findall(r"\bsie_\w+", " ".join(queries)):
        yield next((name.removesuffix(part) for part in PARTS if name.endswith(part)), name)


def test_queries_read_metrics_that_there_are() -> None:
    assert len(queries()) > 30
    assert set(used(queries())) <= names(of_a_worker()) | names(of_a_trainer()) | names(of_a_sink())


def test_queries_are_promql(tmp_path: Path) -> None:
    need("promtool", install=PROMETHEUS)
    rules = "".join(f"  - record: answer:{n}\n    expr: {query!r}\n" for n, query in enumerate(queries()))
    (tmp_path / "rules.yml").write_text(f"groups:\n- name: page\n  rules:\n{rules}")
    done = subprocess.run(["promtool", "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
