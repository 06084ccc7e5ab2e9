"""Who needs which rights at the brokers, and asking for them. The lists of ``docs/access.md`` say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sie_online.announcements import NET
from sie_online.client.access import Needs, Operation, missing
from sie_online.settings import Settings
from streams.brokers import broker_admin

TO_WRITE: Sequence[Operation] = ("Write", "DescribeConfigs")
"""Of a topic that is written to, and whose shape is looked at before."""


def worker(settings: Settings) -> Needs:
    """Of ``sie worker``."""
    topics = settings.topics
    needed: dict[str, Sequence[Operation]] = {topics.recs: TO_WRITE} if settings.recommend.publish else {}
    return Needs(
        needed
        | {
            topics.events: ("Read", "DescribeConfigs"),
            topics.weights: ("Read", "Write", "DescribeConfigs"),  # read: who has published there, and under which
            topics.samples: ("Read", "Write", "DescribeConfigs"),  # generation
            topics.entities: TO_WRITE,
            topics.models: ("Read", "Write", "DescribeConfigs"),
            topics.dead_letters: TO_WRITE,
        },
        group=settings.group,
    )


def trainer(settings: Settings) -> Needs:
    """Of ``sie trainer``."""
    announcing = announcer(settings)
    wanted: dict[str, tuple[Operation, ...]] = {name: tuple(needed) for name, needed in announcing.topics.items()}
    wanted[settings.topics.samples] = ("Read",)
    if settings.trainer.noise.enabled:
        wanted[settings.topics.events] = ("Read",)
    return replace(announcing, topics={name: (*operations, "DescribeConfigs") for name, operations in wanted.items()})


def announcer(settings: Settings) -> Needs:
    """Of whoever announces models: the trainer, and ``sie model``."""
    topics = settings.topics
    needed: dict[str, Sequence[Operation]] = {topics.events: ("Describe",), topics.models: ("Read", "Write")}
    return Needs(needed, transactional_id=transactional_id(settings))


def transactional_id(settings: Settings) -> str:
    """Whoever announces does so under this name: the newer fences the older."""
    return f"sie-models-{NET}-{settings.topics.models}"


async def find_missing(settings: Settings, needs: Needs) -> list[str]:
    """What of ``needs`` the brokers would refuse: a sentence each, with the line that mends it.

    Raises:
        UnreachableError: no answer within ``kafka.request_timeout_s``.
    """
    async with broker_admin(settings) as admin:
        return await missing(admin._client, settings, needs)
