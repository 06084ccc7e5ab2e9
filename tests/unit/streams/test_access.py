"""The page of logins and rights says what the code asks for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from sie_online.client.access import Needs
from sie_online.settings import Kafka, Settings, load
from streams import access
from tests.support.acls import Acl, documented
from tests.support.brokers import ROOT

PAGE = (ROOT / "docs" / "access.md").read_text()


def _rights(needs: Needs, principal: str) -> set[Acl]:
    rights = {Acl(principal, each, "topic", topic) for topic, operations in needs.topics.items() for each in operations}
    if needs.group is not None:
        rights.add(Acl(principal, "Read", "group", needs.group))
    if needs.transactional_id is not None:
        rights.add(Acl(principal, "Write", "transactional_id", needs.transactional_id))
    return rights


@pytest.mark.parametrize("role", [access.worker, access.trainer])
def test_the_page_lists_the_rights_that_a_role_asks_for_and_no_others(role: Callable[[Settings], Needs]) -> None:
    principal, settings = f"User:sie-{role.__name__}", load({"recommend": {"enabled": True, "publish": True}})
    assert {acl for acl in documented() if acl.principal == principal} == _rights(role(settings), principal)


def test_recommendations_need_no_right_while_they_are_not_published() -> None:
    for off in ({}, {"enabled": True}):
        settings = load({"recommend": off})
        assert settings.topics.recs not in access.worker(settings).topics


def test_the_page_names_settings_that_there_are() -> None:
    named = set(re.findall(r"\b(?:sasl|oauth|ssl|security)_[a-z_]+\b", PAGE))
    assert len(named) > 10
    assert named - {"oauth_"} <= Kafka.model_fields.keys()


def test_the_pages_settings_files_are_good() -> None:
    endpoint, commands = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert load(tomllib.loads(endpoint)).kafka.oauth_extensions["logicalCluster"] == "lkc-1"
    lines = [line for line in commands.splitlines() if not line.startswith("#")]
    assert len(lines) == 3
    for line in lines:
        logged_in: dict[str, Any] = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
        assert load({"kafka": logged_in | tomllib.loads(line)}).kafka.wants_tokens
