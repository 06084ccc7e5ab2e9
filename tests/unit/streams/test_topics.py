"""What shape the topics must have, and what is said about those that have another; no broker."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from streams import access
from streams.topics import Findings, TopicState, check_topics, examine, specs

DAY_MS = 86_400_000
NAMES = ("events", "weights", "samples", "entities", "models", "dead_letters")


def perfect(settings: Settings) -> dict[str, TopicState]:
    """The topics as they are made."""
    return {
        spec.name: TopicState(
            spec.name,
            spec.partitions,
            settings.topics.replication,
            spec.cleanup,
            spec.retention_ms or -1,
            int(spec.config(1)["max.message.bytes"]),
        )
        for spec in specs(settings).values()
    }


def with_changes(settings: Settings, topic: str, **changes: Any) -> Findings:
    found = perfect(settings)
    name = getattr(settings.topics, topic)
    return examine(settings, found | {name: replace(found[name], **changes)})


def test_topics_as_they_are_made_have_no_fault(settings: Callable[..., Settings]) -> None:
    findings = examine(settings(), perfect(settings()))
    assert (findings.problems, findings.notes) == ([], [])
    assert list(findings.topics) == list(specs(settings()))


def test_what_is_asked_for_and_not_there_is_told_with_the_way_to_it(settings: Callable[..., Settings]) -> None:
    there, name = perfect(settings()), settings().topics.events
    more = examine(settings(topics={"partitions": 8}), there)
    assert more.problems == []
    (told,) = more.unmet
    assert f"{name} has 4 partitions, not 8, and stays as it is" in told
    assert f"--alter --topic {name} --partitions 8" in told
    assert "--accept-repartition" in told
    (told,) = examine(settings(topics={"partitions": 2}), there).unmet
    assert told.endswith("Kafka takes no partitions away")
    (told,) = examine(settings(topics={"replication": 3}), there).unmet
    assert f"{name} 1, {settings().topics.weights} 1" in told


def test_a_default_asks_for_nothing(settings: Callable[..., Settings]) -> None:
    grown = {name: replace(state, partitions=7, replicas=3) for name, state in perfect(settings()).items()}
    assert examine(settings(), grown).unmet == []


def test_statements_outlive_the_attribution_window_by_a_week(settings: Callable[..., Settings]) -> None:
    current = settings(labels={"window_s": 10 * 86_400, "lateness_s": 86_400})
    for topic in (current.topics.weights, current.topics.samples):
        assert specs(current)[topic].config(1)["retention.ms"] == str(18 * DAY_MS)
    events = specs(settings(topics={"events_retention_h": 12}))[current.topics.events]
    assert events.config(1)["retention.ms"] == str(DAY_MS // 2)


def test_state_is_compacted_and_announcements_have_one_order(settings: Callable[..., Settings]) -> None:
    current = settings(topics={"partitions": 6})
    made = specs(current)
    assert {name for name, spec in made.items() if spec.cleanup == "compact"} == {
        current.topics.entities,
        current.topics.models,
    }
    assert made[current.topics.models].partitions == 1
    assert {made[getattr(current.topics, name)].partitions for name in NAMES if name != "models"} == {6}


def test_recommendations_have_a_topic_only_where_they_are_published(settings: Callable[..., Settings]) -> None:
    for off in ({}, {"enabled": True}):
        assert settings(recommend=off).topics.recs not in specs(settings(recommend=off))
    on = settings(recommend={"enabled": True, "publish": True})
    recs = specs(on, n_partitions=12)[on.topics.recs]
    assert (recs.cleanup, recs.partitions) == ("compact", 12)
    faults: dict[str, dict[str, Any]] = {"cleanup.policy=compact": {"cleanup": "delete"}, "create": {"partitions": 3}}
    for remedy, fault in faults.items():
        problems = with_changes(on, "recs", **fault).problems
        assert problems
        assert all(remedy in problem for problem in problems)
    there = {name: state for name, state in perfect(on).items() if name != on.topics.recs}
    assert on.topics.recs in examine(on, there).problems[0]


def test_outputs_follow_the_input_that_exists_and_not_the_settings(settings: Callable[..., Settings]) -> None:
    assert specs(settings(), n_partitions=12)[settings().topics.weights].partitions == 12


def test_a_write_needs_a_majority_of_replicas_only_where_one_may_be_lost(settings: Callable[..., Settings]) -> None:
    weights = specs(settings())[settings().topics.weights]
    assert weights.config(3)["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in weights.config(2)


def test_missing_topics_are_named_with_the_line_that_makes_them(settings: Callable[..., Settings]) -> None:
    current = settings(broker="kafka-1:9092")
    findings = examine(current, {})
    assert len(findings.problems) == 1
    assert all(getattr(current.topics, name) in findings.problems[0] for name in NAMES)
    assert findings.problems[0].endswith("run SIE_BROKER=kafka-1:9092 sie topics create")


FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "weights narrower than events": ("weights", {"partitions": 3}, "sie topics create"),
    "samples narrower than events": ("samples", {"partitions": 1}, "sie topics create"),
    "events grown": ("events", {"partitions": 8}, "sie topics create"),
    "announcements without an order": ("models", {"partitions": 2}, "kafka-topics.sh"),
    "events compacted": ("events", {"cleanup": "compact"}, "--add-config cleanup.policy=delete"),
    "entities forgotten": ("entities", {"cleanup": "compact,delete"}, "--add-config cleanup.policy=compact"),
    "models forgotten": ("models", {"cleanup": "delete"}, "--add-config cleanup.policy=compact"),
    "messages too large": ("weights", {"message_bytes": 899_999}, "--add-config max.message.bytes=1048588"),
    "dead letters too large": ("dead_letters", {"message_bytes": 100_000}, "SIE_KAFKA__MAX_MESSAGE_BYTES"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_told_with_what_mends_it(settings: Callable[..., Settings], fault: str) -> None:
    topic, changes, remedy = FAULTS[fault]
    problems = with_changes(settings(), topic, **changes).problems
    assert problems
    assert all(remedy in problem for problem in problems)


HARMLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "wider than events": ("weights", {"partitions": 9}),
    "kept for too short": ("samples", {"retention_ms": DAY_MS}),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_does_no_harm_is_noted_and_forbids_nothing(settings: Callable[..., Settings], case: str) -> None:
    topic, changes = HARMLESS[case]
    findings = with_changes(settings(), topic, **changes)
    assert findings.problems == []
    assert len(findings.notes) == 1


def test_what_is_kept_for_ever_is_kept_long_enough(settings: Callable[..., Settings]) -> None:
    assert with_changes(settings(), "weights", retention_ms=-1).notes == []


def test_an_input_with_small_messages_is_none_of_our_business(settings: Callable[..., Settings]) -> None:
    assert with_changes(settings(), "events", message_bytes=50_000).problems == []


def test_nobody_at_the_address_is_told_as_such(settings: Callable[..., Settings]) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, but nobody listens
        current = settings(broker=f"127.0.0.1:{reserved.getsockname()[1]}")
        with pytest.raises(UnreachableError, match="cannot be reached"):
            asyncio.run(check_topics(current, access.worker(current)))


def test_a_broker_that_never_answers_costs_a_bounded_time(settings: Callable[..., Settings]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        current = settings(
            broker=f"127.0.0.1:{silent.getsockname()[1]}",
            kafka={"request_timeout_s": 1},
        )
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            asyncio.run(check_topics(current, access.worker(current)))
        assert 0.5 < time.monotonic() - began < 5
