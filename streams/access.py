"""Who needs which rights at the brokers, and asking for them. The lists of ``docs/access.md`` say the same."""

from __future__ import annotations

from dataclasses import replace

from sie_online.client.access import Needs, Operation, missing
from sie_online.settings import Settings
from streams.model_registry.announcer import speaker
from streams.topics import broker_admin


def worker(settings: Settings) -> Needs:
    """Of ``sie worker``."""
    topics = settings.topics
    return Needs(
        {
            topics.events: ("Read", "DescribeConfigs"),
            topics.weights: ("Read", "Write", "DescribeConfigs"),  # read: who has published there, and under which
            topics.samples: ("Read", "Write", "DescribeConfigs"),  # generation
            topics.entities: ("Write", "DescribeConfigs"),
            topics.models: ("Read", "Write", "DescribeConfigs"),
            topics.dead_letters: ("Write", "DescribeConfigs"),
        },
        group=settings.group,
    )


def trainer(settings: Settings) -> Needs:
    """Of ``sie trainer``."""
    topics, speaking = settings.topics, speaker(settings)
    wanted: dict[str, tuple[Operation, ...]] = {name: tuple(needed) for name, needed in speaking.topics.items()}
    wanted[topics.samples] = ("Read",)
    return replace(speaking, topics={name: (*operations, "DescribeConfigs") for name, operations in wanted.items()})


async def find_missing(settings: Settings, needs: Needs) -> list[str]:
    """What of ``needs`` the brokers would refuse: a sentence each, with the line that mends it.

    Raises:
        UnreachableError: no answer within ``kafka.request_timeout_s``.
    """
    async with broker_admin(settings) as admin:
        return await missing(admin._client, settings, needs)
