"""Where a sink goes on in the log; when table and topic disagree, it refuses, in a sentence that says what to do.

Pure functions of what was found.
"""

from __future__ import annotations

from collections.abc import Mapping

from sie_online.client.reader import Span
from sie_online.errors import DecisionError, UsageError
from streams.lake.port import About, Held
from streams.topic_ids import is_another_topic

NEW_PLACE = "rows are known by their offset, so give the new topic's rows a table of their own: another --to"


def check_same(held: Held, about: About, url: str) -> None:
    """Refuse a table that holds something else than is to be written into it.

    Raises:
        UsageError: rows of another topic, or other revisions.
        DecisionError: the topic was deleted and made again since.
    """
    if held.topic != about.topic:
        raise UsageError(f"{url} holds rows of topic {held.topic}, not of {about.topic}: name another place in --to")
    if held.rows != about.rows:
        options = {"final": "--final-only", "all": "--all-revisions"}
        raise UsageError(f"{url} was begun with {options[held.rows]}: go on with that, or name another place in --to")
    check_topic(held, about.topic_id, url)


def check_topic(held: Held, topic_id: str, url: str) -> None:
    """Refuse to add rows of another topic of the same name; an unknown id (empty) says nothing.

    Raises:
        DecisionError: the topic was deleted and made again since the table was begun.
    """
    if is_another_topic(held.topic_id, topic_id):
        raise DecisionError(
            f"{url} holds rows of a topic {held.topic} with the id {held.topic_id}, and the one there now has"
            f" {topic_id}: it was deleted and made again; {NEW_PLACE}"
        )


def positions(held: Held, spans: Mapping[int, Span], url: str, *, accept_gap: bool) -> dict[int, int]:
    """The offset of the topic to go on at, by partition: where the table ends, or where the log begins.

    Raises:
        DecisionError: the log does not hold that offset, and nobody has accepted that rows are missing.
    """
    if lost := held.marks.keys() - spans.keys():
        raise DecisionError(f"{held.topic} has no partition {min(lost)}, of which {url} holds rows: {NEW_PLACE}")
    found = {}
    for number, span in spans.items():
        at = held.marks[number].next_offset if number in held.marks else span.first
        if at > span.end:
            raise DecisionError(
                f"{url} has come to offset {at} of {held.topic}[{number}], and its log ends at {span.end}: the topic"
                f" was made again, or has lost its tail; {NEW_PLACE}"
            )
        if at < span.first and not accept_gap:
            raise DecisionError(
                f"{url} has come to offset {at} of {held.topic}[{number}], and its log begins at {span.first}:"
                f" retention has deleted {span.first - at} messages that are not in the table. Go on behind the gap"
                " with --accept-gap"
            )
        found[number] = max(at, span.first)
    return found
