"""What a dashboard is made of, and the JSON that Grafana reads.

A panel answers a question: its title says what is shown, ``about`` what it means and when to worry. Nothing is placed
by hand: panels flow from left to right below the question of their row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

COLUMNS = 24
ROW_HEIGHT, STAT_HEIGHT, GRAPH_HEIGHT = 1, 4, 8
SCHEMA_VERSION = 39
"""Of Grafana 11; a later one reads it as well."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
TAG = "sie-online"
RUNBOOKS = "${runbooks}docs/runbooks/"
"""As the annotations of alerts have it: ``external_labels`` in deploy/prometheus/prometheus.yml."""
OWN_ALERTS = 'ALERTS{alertname=~"Sie.+",alertstate="firing"}'

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"
SECONDS, BYTES, SHARE, COUNT = "s", "bytes", "percentunit", "short"
PER_SECOND, BYTES_PER_SECOND = "suffix:/s", "Bps"

Steps = Sequence[tuple[float, str]]
"""From which value on which colour; below the first it is green."""


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and how its series are called: ``{{label}}`` is a label's value."""

    promql: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. ``steps`` are its thresholds, ``low`` and ``high`` the ends of its axis; ``none`` stands where there
    is no series, ``words`` say what a value is called, ``text`` whether a stat says its series' name alone,
    ``column`` how a table's values are called (none: they are left out); ``width`` is in columns, and ``alerts`` are
    those that what is seen here may have fired."""

    title: str
    about: str
    queries: Sequence[Query]
    unit: str = COUNT
    kind: Literal["timeseries", "stat", "heatmap", "table"] = "timeseries"
    width: int = 8
    steps: Steps = ()
    low: float | None = None
    high: float | None = None
    none: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    decimals: int | None = None
    stacked: bool = False
    text: Literal["auto", "name"] = "auto"
    column: str = ""
    alerts: Sequence[str] = ()

    @property
    def height(self) -> int:
        """In rows of the grid."""
        return STAT_HEIGHT if self.kind == "stat" else GRAPH_HEIGHT


def stat(title: str, about: str, promql: str, unit: str = COUNT, **how: Any) -> Panel:
    """A panel with the newest value of one query, coloured by its thresholds."""
    return Panel(title, about, [Query(promql)], unit, kind="stat", **({"width": 3} | how))


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question."""

    question: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """What the person chooses at the top: the values of a ``label`` of ``series``. ``several``: more than one at a
    time, and all of them unless told otherwise."""

    name: str
    label: str
    series: str
    about: str
    several: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """What the person chooses at the top among given values."""

    name: str
    values: Sequence[str]
    default: str
    about: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels; ``uid`` is its file and its address."""

    uid: str
    title: str
    about: str
    variables: Sequence[Variable | Choice]
    rows: Sequence[Row]
    span: str = "now-1h"

    def document(self) -> dict[str, Any]:
        """What Grafana imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": self.span, "to": "now"},
            "timezone": "browser",
            "links": _links(),
            "templating": {"list": [_DATASOURCE_VARIABLE, *map(_chosen, self.variables), _RUNBOOKS_VARIABLE]},
            "annotations": {"list": [_alerts_fired()]},
            "panels": list(_placed(self.rows)),
        }


def text(dashboard: Dashboard) -> str:
    """The file of ``dashboard``."""
    return json.dumps(dashboard.document(), indent=2, ensure_ascii=False) + "\n"


HERE = "http://localhost/"

_DATASOURCE_VARIABLE = {
    "name": "datasource",
    "label": "Prometheus",
    "type": "datasource",
    "query": "prometheus",
    "refresh": 1,
}
_RUNBOOKS_VARIABLE = {
    "name": "runbooks",
    "label": "Runbooks at",
    "description": "Before docs/runbooks/ in links: where your people read the docs, with its last slash.",
    "type": "textbox",
    "query": HERE,
    "current": {"text": HERE, "value": HERE},
}


def _chosen(variable: Variable | Choice) -> dict[str, Any]:
    named = {"name": variable.name, "label": variable.name.capitalize(), "description": variable.about}
    return named | (_choice(variable) if isinstance(variable, Choice) else _variable(variable))


def _choice(choice: Choice) -> dict[str, Any]:
    options = [{"text": value, "value": value, "selected": value == choice.default} for value in choice.values]
    (chosen,) = (option for option in options if option["selected"])
    return {"type": "custom", "query": ",".join(choice.values), "options": options, "current": chosen}


def _variable(variable: Variable) -> dict[str, Any]:
    query = f"label_values({variable.series}, {variable.label})"
    everything = {"text": ["All"], "value": ["$__all"]}
    return {
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": variable.name},
        "refresh": 2,
        "sort": 3,
        "multi": variable.several,
        "includeAll": variable.several,
        "current": everything if variable.several else {},
    }


def _links() -> list[dict[str, Any]]:
    dashboards = {
        "type": "dashboards",
        "title": "sie-online",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
    }
    runbooks = {"type": "link", "title": "Runbooks", "url": RUNBOOKS, "icon": "doc", "targetBlank": True}
    return [dashboards, runbooks]


def _alerts_fired() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": RED,
        "expr": OWN_ALERTS,
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}} {{partition}}",
        "step": "60s",
    }


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Rows and panels with their numbers and places."""
    number, top = 0, 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": ROW_HEIGHT}
        yield {"id": number, "type": "row", "title": row.question, "collapsed": False, "gridPos": place, "panels": []}
        top, left, tallest = top + ROW_HEIGHT, 0, 0
        for panel in row.panels:
            number += 1
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": panel.height})
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "links": [_runbook(alert) for alert in panel.alerts],
        "targets": [_target(query, panel, name) for name, query in zip("ABCDEF", panel.queries, strict=False)],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
        **({"transformations": [_columns(panel)]} if panel.kind == "table" else {}),
    }


def _runbook(alert: str) -> dict[str, Any]:
    return {"title": f"Runbook: {alert}", "url": f"{RUNBOOKS}{alert}.md", "targetBlank": True}


def _target(query: Query, panel: Panel, name: str) -> dict[str, Any]:
    newest = panel.kind in ("stat", "table")
    return {
        "refId": name,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.promql,
        "legendFormat": query.legend or "__auto",
        "instant": newest,
        "range": not newest,
        "format": {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series"),
    }


def _field(panel: Panel) -> dict[str, Any]:
    steps = [{"color": GREEN, "value": None}, *({"color": color, "value": at} for at, color in panel.steps)]
    words = {value: {"text": word, "index": place} for place, (value, word) in enumerate(panel.words.items())}
    given = {"min": panel.low, "max": panel.high, "noValue": panel.none or None, "decimals": panel.decimals}
    return {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": words}] if words else [],
        "custom": _drawn(panel) if panel.kind == "timeseries" else {},
        **{name: value for name, value in given.items() if value is not None},
    }


def _drawn(panel: Panel) -> dict[str, Any]:
    return {
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "background" if panel.steps or panel.words else "none",
            "graphMode": "none",
            "textMode": panel.text,
        }
    if panel.kind == "heatmap":
        return {
            "calculate": False,
            "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
            "cellGap": 1,
            "tooltip": {"mode": "single", "yHistogram": True},
        }
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _columns(panel: Panel) -> dict[str, Any]:
    hidden = {"Time": True, "Value": not panel.column}
    return {"id": "organize", "options": {"excludeByName": hidden, "renameByName": {"Value": panel.column}}}
