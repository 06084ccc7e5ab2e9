"""The alerting rules: each fires, stays silent, goes by metrics that there are, and leads to a page on what to do."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from sie_online.client.availability import Availability
from sie_online.settings import load
from streams.lake.metrics import SinkMetrics
from streams.observe.broker_metrics import watch_broker
from streams.observe.metrics import STAGES, Metrics
from streams.trainer.metrics import TrainerMetrics
from tests.support.alerts import (
    FROM_ELSEWHERE,
    PROMETHEUS,
    RUNBOOKS,
    Rule,
    alerts,
    document,
    metrics_behind,
    metrics_while_idle,
    rules,
    runbook_queries,
    selectors,
)
from tests.support.metrics import busy
from tests.support.requirements import PROMETHEUS as PROMETHEUS_INSTALL
from tests.support.requirements import need

TESTS = sorted(PROMETHEUS.glob("tests/*.yml"))
ALERTS = alerts()
NAMES = [alert.name for alert in ALERTS]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
SECTIONS = ["What it means", "First look", "What to do", "How to tell it is over"]


def _promtool(*arguments: str) -> None:
    need("promtool", install=PROMETHEUS_INSTALL)
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    _promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    _promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, sorted(PROMETHEUS.glob("rules/*.yml"))))


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_rules_say_what_their_tests_expect(file: Any) -> None:
    _promtool("test", "rules", str(file))


# -- every alert is tested


def _scenes() -> Iterator[dict[str, Any]]:
    return (scene for file in TESTS for scene in document(file)["tests"])


def _firing(scene: dict[str, Any]) -> set[str]:
    """Alerts that ``scene`` expects to fire."""
    expected = [sample for test in scene.get("promql_expr_test", ()) for sample in test.get("exp_samples", ())]
    return {name for sample in expected for name in re.findall(r'ALERTS\{alertname="(\w+)"', sample["labels"])}


def _silent(scene: dict[str, Any]) -> set[str]:
    """Alerts that ``scene`` names and expects to be silent at some time."""
    tests = [test for test in scene.get("promql_expr_test", ()) if not test.get("exp_samples")]
    return {name for test in tests for name in re.findall(r'^ALERTS\{alertname="(\w+)"', test["expr"])}


def _series(scene: dict[str, Any]) -> set[str]:
    """Names of the series that ``scene`` begins with."""
    return {re.split(r"[{ ]", each["series"])[0] for each in scene["input_series"]}


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert: Rule) -> None:
    assert any(alert.name in _firing(scene) for scene in _scenes())
    silent = [scene for scene in _scenes() if alert.name in _silent(scene)]
    assert any(metrics_behind(alert) & _series(scene) for scene in silent), "silence for want of series shows nothing"


def test_the_idle_fleet_tells_all_that_alerts_go_by() -> None:
    (scene,) = document(PROMETHEUS / "tests" / "idle.yml")["tests"]
    assert metrics_while_idle() <= _series(scene)


# -- every alert goes by what is told


def _told() -> list[CollectorRegistry]:
    """Everything that worker, trainer and sink tell Prometheus."""
    settings = load({})
    worker, trainer, sink = Metrics(settings), TrainerMetrics(), SinkMetrics(["weights"])
    busy(worker)
    worker.watch_trainer(lambda: 0)
    for stage in STAGES:
        worker.observe_stage(stage, 0.0)
    for metrics in (worker, trainer):
        metrics.count_unreadable_models(lambda: 0)
        watch_broker(metrics.registry, Availability(settings))
    watch_broker(sink.registry, Availability(settings))
    return [worker.registry, trainer.registry, sink.registry]


@pytest.fixture(scope="module")
def told() -> dict[str, list[Sample]]:
    """Samples by the name under which Prometheus has them; none where a family has no series yet."""
    found: dict[str, list[Sample]] = {}
    for family in (family for registry in _told() for family in registry.collect()):
        for suffix in SUFFIXES.get(family.type, ("",)):
            found.setdefault(f"{family.name}{suffix}", [])
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def _assert_told(expr: str, told: dict[str, list[Sample]]) -> None:
    """Every series that ``expr`` reads is recorded, told, or from elsewhere."""
    recorded = {rule.name for rule in rules() if not rule.is_alert}
    for selector in selectors(expr):
        if selector.metric in recorded | FROM_ELSEWHERE:
            continue
        assert selector.metric in told
        matchers = [matcher for matcher in selector.matchers if matcher.label != "job"]  # which Prometheus adds
        fitting = [
            sample
            for sample in told[selector.metric]
            if all(matcher.wants(sample.labels.get(matcher.label)) for matcher in matchers)
        ]
        assert fitting or not matchers, f"no series of {selector.metric} has {matchers}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_a_rule_reads_series_that_are_told(rule: Rule, told: dict[str, list[Sample]]) -> None:
    _assert_told(rule.expr, told)


def test_runbooks_ask_for_series_that_are_told(told: dict[str, list[Sample]]) -> None:
    for query in runbook_queries():
        _assert_told(query, told)


# -- every alert can be acted on


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_says_how_urgent_it_is_what_it_means_and_where_to_read_on(alert: Rule) -> None:
    assert re.fullmatch(r"Sie([A-Z][a-z]+)+", alert.name)
    assert alert.labels["severity"] in {"page", "ticket"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert alert.annotations["summary"] and alert.annotations["description"]
    assert alert.annotations["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}docs/runbooks/{alert.name}.md"


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_a_runbook_says_what_an_alert_means_and_what_to_do(alert: Rule) -> None:
    page = (RUNBOOKS / f"{alert.name}.md").read_text("utf-8")
    assert page.startswith(f"# {alert.name}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    assert f"**{alert.labels['severity']}**" in page


def test_each_runbook_has_its_alert_and_the_index_lists_them_by_urgency() -> None:
    pages = {file.stem for file in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(NAMES)
    index = (RUNBOOKS / "README.md").read_text("utf-8")
    for severity, heading in (("page", "## Pages"), ("ticket", "## Tickets")):
        part = index.split(f"{heading}\n")[1].split("\n## ")[0]
        listed = re.findall(r"\[(Sie\w+)\]\((Sie\w+)\.md\)", part)
        assert [name for name, target in listed if name != target] == []
        assert {name for name, _ in listed} == {alert.name for alert in ALERTS if alert.labels["severity"] == severity}


def test_links_of_runbooks_lead_somewhere() -> None:
    for page in [*RUNBOOKS.glob("*.md"), PROMETHEUS / "README.md"]:
        for target, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]+))?\)", page.read_text("utf-8")):
            linked = (page.parent / target).resolve()
            assert linked.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in _anchors(linked.read_text("utf-8")), f"{page.name}: {target}#{anchor}"


def _anchors(text: str) -> set[str]:
    """Of a page's headings, as they are linked."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
