"""With which code a process ends, whatever has ended it."""

from __future__ import annotations

import pytest
from aiokafka import errors as kafka

from sie_online import errors
from streams.exits import code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("a setting"), 2),
        (errors.AccessError("an ACL"), 2),
        (errors.UnreachableError("a store"), 3),
        (errors.DecisionError("a checkpoint"), 78),
        (errors.StaleEpochError("a successor"), 70),
        (kafka.TopicAuthorizationFailedError("sie.weights.v1"), 2),
        (kafka.GroupAuthorizationFailedError("sie"), 2),
        (kafka.UnknownTopicOrPartitionError(), 2),
        (kafka.KafkaConnectionError("no broker"), 3),
        (kafka.RequestTimedOutError(), 3),
        (OSError(28, "No space left on device"), 70),  # the store's own come as UnreachableError
        (ValueError("our own mistake"), 70),
    ],
)
def test_the_exit_code_says_whose_turn_it_is(error: Exception, code: int) -> None:
    assert code_of(error) == code
