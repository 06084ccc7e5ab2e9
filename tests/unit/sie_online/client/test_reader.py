"""What a reader says of a topic that is not there."""

from __future__ import annotations

from sie_online.client.reader import no_such_topic
from sie_online.settings import load


def test_a_topic_that_is_missing_is_named_with_the_command_that_makes_it() -> None:
    settings = load({"broker": "kafka-1:9092"})
    assert str(no_such_topic(settings, "sie.weights.v1")) == (
        "topic sie.weights.v1 does not exist at kafka-1:9092: run 'sie topics create'"
    )


def test_of_recommendations_it_says_what_makes_sie_topics_create_make_them() -> None:
    publish = {"recommend": {"enabled": True, "publish": True}}
    assert "SIE_RECOMMEND__PUBLISH=true" in str(no_such_topic(load({}), "sie.recs.v1"))
    assert "SIE_RECOMMEND__PUBLISH" not in str(no_such_topic(load(publish), "sie.recs.v1"))
