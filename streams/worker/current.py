"""Whether a shard is still ours to speak for: a process that was suspended is the last to learn of a new owner."""

from __future__ import annotations

import asyncio
import time

from sie_online.errors import SieError
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from streams.exits import die
from streams.worker.leases import ShardLease, ShardLeases


class CurrentOwner:
    """Asks the store now and then whether the leases' epochs are still the newest."""

    def __init__(self, settings: Settings, leases: ShardLeases, store: CheckpointStore) -> None:
        self._every_s = settings.kafka.session_timeout_s / 2
        self._leases = leases
        self._store = store

    async def is_ours(self, lease: ShardLease) -> bool:
        """To be asked before anything is published; False if the shard was given up meanwhile.

        Ends the process where another has claimed the shard, or the store does not answer.
        """
        now = time.monotonic()
        if now - lease.checked_at > self._every_s:
            try:
                await asyncio.to_thread(self._store.check_current, lease.partition, lease.epoch)
            except SieError as error:
                if self._leases.holds(lease):
                    die(error.exit_code, str(error))
            lease.checked_at = now
        return self._leases.holds(lease)
