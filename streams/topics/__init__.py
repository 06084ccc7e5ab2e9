"""The topics: what shape each must have, making them, and refusing to start on those that have another.

Owns shapes and checks; names and numbers come from the settings. Nothing here alters a topic's configuration: what a
person has set, a person changes (the message carries the command).

- ``shapes``: what must be, and what to say of what is otherwise
- ``admin``: at the brokers
"""

from streams.topics.admin import check_topics, create_topics, find_topics
from streams.topics.shapes import Findings, TopicSpec, TopicState, create_line, examine, specs

__all__ = [
    "Findings",
    "TopicSpec",
    "TopicState",
    "check_topics",
    "create_line",
    "create_topics",
    "examine",
    "find_topics",
    "specs",
]
