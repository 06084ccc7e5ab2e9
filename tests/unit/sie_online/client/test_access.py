"""What is said of brokers that refuse, or say nothing."""

from __future__ import annotations

from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAuthorizationFailedError

from sie_online.client.access import topic_failure
from sie_online.errors import AccessError, UnreachableError
from sie_online.settings import load

SETTINGS = load({"broker": "kafka-1:9092"})


def test_a_broker_that_was_silent_is_not_quoted_but_its_silence_explained() -> None:
    error = topic_failure(KafkaTimeoutError("Failed to get offsets by times in 20000 ms"), SETTINGS, "sie.weights.v1")
    assert isinstance(error, UnreachableError)
    assert str(error).startswith("sie.weights.v1: the broker at kafka-1:9092 did not answer in time: ")
    assert "advertised.listeners" in str(error)


def test_what_a_broker_said_is_quoted_and_a_missing_right_is_an_operators_turn() -> None:
    assert "kafka-1:9092 says KafkaConnectionError" in str(topic_failure(KafkaConnectionError(), SETTINGS, "t"))
    assert isinstance(topic_failure(TopicAuthorizationFailedError(), SETTINGS, "t"), AccessError)
