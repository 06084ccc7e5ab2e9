"""Kafka's metadata request in the versions that tell of rights and of ids, against answers as brokers write them."""

from __future__ import annotations

import uuid
from io import BytesIO
from typing import Any

import pytest

from sie_online.client.metadata import IDS, NO_ID, RIGHTS, Metadata

ID = uuid.UUID("3b91df00-6453-4300-b45b-3512faf6c728")
PARTITION = 0, 0, 1, 2, [1], [1], []
ANSWERS: dict[int, tuple[Any, ...]] = {
    RIGHTS: (0, [(1, "host", 9092, None)], "c", 1, [(0, "a", False, [PARTITION], 248), (29, "b", False, [], -1)], -1),
    IDS: (
        0,
        [(1, "host", 9092, None, {})],
        "c",
        1,
        [(0, "a", ID, False, [(*PARTITION, {})], 248, {}), (29, "b", NO_ID, False, [], -1, {})],
        -1,
        {},
    ),
}


@pytest.mark.parametrize("version", [RIGHTS, IDS])
def test_an_answer_is_read_as_it_was_written(version: int) -> None:
    answer = Metadata(version, ["a", "b"]).prepare({3: (0, 12)}).RESPONSE_TYPE
    read = answer.decode(BytesIO(answer(*ANSWERS[version]).encode()))
    found = [(topic[0], topic[1], topic[2] if version == IDS else None) for topic in read.topics]
    assert found == [(0, "a", ID if version == IDS else None), (29, "b", NO_ID if version == IDS else None)]


@pytest.mark.parametrize("version", [RIGHTS, IDS])
def test_a_request_names_its_topics_and_creates_none(version: int) -> None:
    request = Metadata(version, ["a", "b"]).prepare({3: (0, 12)})
    assert b"a" in request.encode() and b"b" in request.encode()
    assert request.allow_auto_topic_creation is False


@pytest.mark.parametrize("version", [RIGHTS, IDS])
def test_a_broker_that_does_not_speak_the_version_is_told_apart(version: int) -> None:
    with pytest.raises(NotImplementedError):
        Metadata(version, ["a"]).prepare({3: (0, version - 1)})
