"""The transport class that Faust finds under the scheme ``sie``: stock aiokafka but for the consumer."""

from __future__ import annotations

from typing import ClassVar

from faust.transport.drivers import aiokafka as stock

from streams.transport.consumer import Consumer

SCHEME = "sie"
"""Scheme of the broker URL: ``sie://host:port``."""


class Transport(stock.Transport):
    """Kafka transport that delivers record batches."""

    Consumer: ClassVar[type[Consumer]] = Consumer
