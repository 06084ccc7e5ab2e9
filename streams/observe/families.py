"""Families of metrics on one registry: labels with closed sets of values, and series that end with an ownership."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from streams.observe.histograms import BulkHistogram

OTHER = "other"
PARTITIONS = frozenset(map(str, range(4096)))
"""As many as ``topics.partitions`` admits; a worker has series of those it was assigned."""


class Families:
    """Makes families whose names begin with ``sie_``, and knows which gauges are of partitions."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._of_partitions: list[Gauge] = []

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """A counter, whose name will end with ``_total``."""
        return Counter(f"sie_{name}_total", documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        """A gauge of the worker."""
        return Gauge(f"sie_{name}", documentation, labels, registry=self.registry)

    def shard_gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        """A gauge of each partition, which goes when that is revoked; its first label is ``partition``."""
        gauge = self.gauge(name, documentation, "partition", *labels)
        self._of_partitions.append(gauge)
        return gauge

    def histogram(self, name: str, documentation: str, edges: Iterable[float], *labels: str) -> BulkHistogram:
        """A histogram; ``edges`` are the upper bounds of its buckets, without the open last one."""
        return BulkHistogram(f"sie_{name}", documentation, tuple(edges), labels, self.registry)

    def revoke(self, partition: str) -> None:
        """Take away all gauges of ``partition``."""
        for gauge in self._of_partitions:
            gauge.remove_by_labels({"partition": partition})


def known(value: object, values: Collection[str]) -> str:
    """``value`` as a label if it is one of ``values``, else ``other``."""
    name = str(value)
    return name if name in values else OTHER


def partition_label(number: int) -> str:
    """The label of a partition."""
    return known(number, PARTITIONS)
