"""The rules of `deploy/prometheus` as they are delivered, and what their expressions speak of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.brokers import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"

FROM_KUBELET = {"container_memory_rss", "container_spec_memory_limit_bytes"}
FROM_ELSEWHERE = {"up"} | FROM_KUBELET
"""What no process of ours tells."""
NOT_WHILE_IDLE = {"sie_arrival_to_publish_seconds_count", "sie_arrival_to_publish_seconds_bucket"}
"""Without series before the first row."""
NOT_IN_EVERY_FLEET = {"sie_trainer_restarts_total"}
"""Only of a worker that has its own trainer."""

CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\boffset\s+\w+|\[[^\]]*\]")
TEXT_OR_SELECTOR = re.compile(r'"[^"]*"|([a-z_][\w:]*)(?:\{([^}]*)\}|(?![\w:]|\s*\())')
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
OPERATORS = frozenset({"and", "or", "unless", "bool"})


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label."""

    label: str
    operator: str
    value: str

    def wants(self, value: str | None) -> bool:
        """Whether a series with ``value`` is what it asks for; one that asks for the absence of a value says yes."""
        if self.operator.startswith("!"):
            return True
        if self.operator == "=":
            return value == self.value
        return value is not None and re.fullmatch(self.value, value) is not None


@dataclass(frozen=True, slots=True)
class Selector:
    """Series that an expression reads."""

    metric: str
    matchers: tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule or an alert; ``labels`` and ``annotations`` as they are written."""

    name: str
    expr: str
    is_alert: bool
    labels: dict[str, str]
    annotations: dict[str, str]

    def selectors(self) -> Iterator[Selector]:
        """All series that it reads."""
        return selectors(self.expr)


def metrics_while_idle() -> set[str]:
    """What alerts go by, and an idle fleet of worker, trainer and sink has series of."""
    used = set[str]().union(*map(metrics_behind, alerts()))
    return used - FROM_KUBELET - NOT_WHILE_IDLE - NOT_IN_EVERY_FLEET


def selectors(expr: str) -> Iterator[Selector]:
    """All series that an expression reads."""
    for found in TEXT_OR_SELECTOR.finditer(CLAUSE.sub(" ", expr)):
        if found[1] and found[1] not in OPERATORS:
            yield Selector(found[1], tuple(Matcher(*each) for each in MATCHER.findall(found[2] or "")))


@cache
def rules() -> tuple[Rule, ...]:
    """All of them, file by file."""
    groups = [group for file in sorted(PROMETHEUS.glob("rules/*.yml")) for group in document(file)["groups"]]
    return tuple(_rule(each) for group in groups for each in group["rules"])


def alerts() -> list[Rule]:
    """Those that somebody is told of."""
    return [rule for rule in rules() if rule.is_alert]


def metrics_behind(rule: Rule) -> set[str]:
    """Names of the scraped metrics that ``rule`` goes by, itself and through what is recorded."""
    recorded: dict[str, set[str]] = {}
    for each in rules():
        if not each.is_alert:
            recorded.setdefault(each.name, set()).update(selector.metric for selector in each.selectors())
    names, seen = {selector.metric for selector in rule.selectors()}, set[str]()
    while open_names := (names & recorded.keys()) - seen:
        seen |= open_names
        names = names.union(*(recorded[name] for name in open_names))
    return names - recorded.keys()


def runbook_queries() -> list[str]:
    """What the runbooks have people ask Prometheus, a line each."""
    blocks = [re.findall(r"```promql\n(.*?)```", page.read_text("utf-8"), re.DOTALL) for page in RUNBOOKS.glob("*.md")]
    return sorted({line for page in blocks for block in page for line in block.splitlines() if line})


@cache
def document(file: Path) -> dict[str, Any]:
    """A YAML file's only document; not to be changed."""
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return content


def _rule(written: dict[str, Any]) -> Rule:
    is_alert = "alert" in written
    return Rule(
        written["alert" if is_alert else "record"],
        written["expr"],
        is_alert,
        written.get("labels", {}),
        written.get("annotations", {}),
    )
