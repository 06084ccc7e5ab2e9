"""What the consumer and its fetching thread both know: the one topic consumed, and what of it is owned."""

from __future__ import annotations

from typing import Any, cast

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.transport.drivers import aiokafka as stock

from sie_online.settings import Settings
from streams.transport.positions import Positions


class SingleTopicConsumer(stock.Consumer):
    """Stock Faust's consumer, of one topic. ``positions`` is the truth about what is owned and how far it got."""

    mundane_level = "debug"
    assignors = (RoundRobinPartitionAssignor,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.positions = Positions()
        super().__init__(*args, **kwargs)

    @property
    def settings(self) -> Settings:
        """The deployment's settings."""
        return cast(Settings, cast(Any, self.app).settings)

    @property
    def topic(self) -> str:
        """The one topic consumed."""
        return self.settings.topics.events
