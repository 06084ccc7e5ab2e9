"""What was announced and refused, in words."""

from __future__ import annotations

from typing import Any

import pytest

from models.manifest import Manifest, Verdict
from sie_online.announcements import NET, NOISE, PRIORS, Adopted, Announcement
from sie_online.contracts import BUILTIN_MODEL
from streams.model_registry.registry import empty_registry
from streams.observe.page.models import SHOWN, WITHOUT_FIGURES, model_stories, passed
from tests.support.samples import made_manifest
from tests.support.versions import new_version

GAIN = {"gain": {"uniform": 0.0012, "uniform_lower": 0.0003, "users": 812.0}}


def announcement(n: int, version: str, **values: Any) -> Announcement:
    given = {"offsets": {0: 100 * n, 1: 200 * n}, "reason": "publish", "created_at_ms": 1_000 * n} | values
    return Announcement(n=n, version=version, **given)


def judged(model: str, report: dict[str, Any], *reasons: str) -> Manifest:
    return made_manifest(version=new_version(), model=model, gate=Verdict(not reasons, reasons, report))


def test_before_anything_was_announced_the_builtin_models_are_named() -> None:
    net, priors, noise = model_stories(empty_registry(), {}, {NET: {0: 0}})
    assert [each.model for each in (net, priors, noise)] == [NET, PRIORS, NOISE]
    assert (net.newest.n, net.newest.version, net.places) == (0, BUILTIN_MODEL, [])
    assert "default" in noise.newest.why


def test_the_newest_comes_with_its_reason_and_where_it_applies() -> None:
    registry, accepted = empty_registry(), judged(NET, GAIN)
    registry[NET].manifests[accepted.version] = accepted.to_json().encode()
    for n in range(1, 9):
        registry[NET].announcements[n] = announcement(n, accepted.version)
    registry[NET].adopted[1, 8] = Adopted(n=8, version=accepted.version, partition=1, offset=4_321)
    net = model_stories(registry, {}, {NET: {0: 7, 1: 8}})[0]
    assert (net.newest.n, net.newest.at_ms) == (8, 8_000)
    assert net.newest.why == (
        "a learner's log loss is 0.0012 lower than with uniform importance, at least 0.0003 by its confidence bound; "
        "judged on 812 users"
    )
    assert [(place.partition, place.n, place.offset, place.late) for place in net.places] == [
        (0, 7, 700, False),
        (1, 8, 4_321, True),
    ]
    assert [each.n for each in net.earlier] == [7, 6, 5, 4, 3]


def test_a_rollback_and_a_manifest_that_is_gone_say_so() -> None:
    registry = empty_registry()
    registry[NET].announcements[1] = announcement(1, new_version())
    registry[NET].announcements[2] = announcement(2, BUILTIN_MODEL, reason="rollback")
    net = model_stories(registry, {}, {})[0]
    assert net.newest.why.startswith("rolled back, by a person or because the one before did harm: none is in force")
    assert net.earlier[0].why == "its manifest cannot be read"


def test_the_newest_refused_ones_are_told_with_every_reason_as_harmless_text() -> None:
    refused = [judged(NOISE, {}, "no gain", "AUC \x1b[31m is low") for _ in range(SHOWN + 3)]
    noise = model_stories(empty_registry(), {NOISE: refused}, {})[2]
    assert [each.version for each in noise.refused] == sorted((one.version for one in refused), reverse=True)[:SHOWN]
    assert noise.refused[0].reasons == ["no gain", "AUC \\x1b[31m is low"]


@pytest.mark.parametrize(
    ("model", "report", "expected"),
    [
        (NET, {"gain": {"uniform": 0.1}}, "a learner's log loss is 0.1 lower than with uniform importance"),
        (NET, {}, WITHOUT_FIGURES),
        (
            PRIORS,
            {"pooled": {"nll": 0.23}, "published": {"nll": 0.25}},
            "log loss 0.23 with what all partitions learned, 0.25 as published",
        ),
        (PRIORS, {}, "no coefficient is too large; nothing has settled yet to judge by"),
        (
            NOISE,
            {"candidate": {"median_auc": 0.9, "worst_auc": 0.6}, "current": {"median_auc": 0.8}},
            "AUC 0.90 on the median of the behaviours it was not fitted on (0.80 by the model before); "
            "AUC 0.60 on the worst of the behaviours it was not fitted on",
        ),
    ],
)
def test_why_a_version_passed_is_what_its_figures_say(model: str, report: dict[str, Any], expected: str) -> None:
    assert passed(judged(model, report)) == expected
