"""Dashboards: their files are current, and each panel can be understood, seen, and left for the right runbook."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
import yaml

from deploy.grafana.__main__ import DASHBOARDS, FOLDER, main
from tests.support.brokers import ROOT

DOCUMENTS: dict[str, Any] = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
BUILT_IN = {"__rate_interval"}


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_the_files_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err
    assert set(DOCUMENTS) == {dashboard.uid for dashboard in DASHBOARDS}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_panel_says_what_it_means_and_in_which_unit(name: str) -> None:
    for panel in panels(DOCUMENTS[name]):
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_panel_lies_on_another_or_shares_its_number(name: str) -> None:
    placed = DOCUMENTS[name]["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    for one, other in itertools.combinations([panel["gridPos"] for panel in placed], 2):
        assert one["x"] + one["w"] <= 24
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_queries_vary_by_can_be_chosen(name: str) -> None:
    document = DOCUMENTS[name]
    chosen = [variable["name"] for variable in document["templating"]["list"]]
    assert chosen[0] == "datasource"
    for panel in panels(document):
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*chosen, *BUILT_IN}, target["expr"]
    for place, variable in enumerate(document["templating"]["list"]):
        if variable["type"] == "query":
            assert set(re.findall(r"\$(\w+)", variable["definition"])) <= set(chosen[:place]), "of earlier ones alone"


def test_every_alert_is_explained_by_a_panel_and_leads_to_its_runbook() -> None:
    rules = ROOT / "deploy" / "prometheus" / "rules"
    files = [yaml.safe_load(file.read_text("utf-8")) for file in rules.glob("*.yml")]
    alerts = {rule["alert"] for file in files for group in file["groups"] for rule in group["rules"] if "alert" in rule}
    links = {link["url"] for document in DOCUMENTS.values() for panel in panels(document) for link in panel["links"]}
    assert links == {f"${{runbooks}}docs/runbooks/{alert}.md" for alert in alerts}
