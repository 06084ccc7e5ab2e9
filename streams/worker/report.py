"""How the shards stand, told to the metrics: as each is put up, and every now and then from there on."""

from __future__ import annotations

import mode

from sie_online.announcements import MODELS
from streams.observe.metrics import Metrics
from streams.worker.adoption import Adoptions
from streams.worker.leases import ShardLease, ShardLeases

EVERY_S = 2.0
"""No scrape is much denser; a report takes a tenth of a millisecond per shard."""


class ShardReports:
    """Reports on the shards of ``leases``. Reads them between and during batches: what it reads only ever moves on."""

    def __init__(self, leases: ShardLeases, adoptions: Adoptions, metrics: Metrics) -> None:
        self._leases = leases
        self._adoptions = adoptions
        self._metrics = metrics
        metrics.watch_assigned(lambda: len(leases.partitions))

    async def run(self, service: mode.Service) -> None:
        """Report on all of them until ``service`` stops."""
        while not service.should_stop:
            await service.sleep(EVERY_S)
            for lease in self._leases:
                self.report(lease)

    def report(self, lease: ShardLease) -> None:
        """Tell how one shard stands, and which models are in force in it."""
        shard = lease.shard
        self._metrics.observe_shard(lease.partition, shard.stats())
        for model in MODELS:
            n = shard.announced(model)
            announced_at_ms = self._adoptions.announced_at_ms(model, n)
            self._metrics.set_in_force(lease.partition, model, n, shard.version(model), announced_at_ms)
