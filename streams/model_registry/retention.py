"""Which artifacts may go: those that no row in the log, no checkpoint and no rollback will ask for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import zip_longest

from sie_online.announcements import RegisteredModel


def superfluous(
    registered: RegisteredModel,
    stored: Collection[str],
    first_offsets: Mapping[int, int],
    *,
    keep: int,
    now_ms: int,
    retention_ms: int,
) -> list[str]:
    """Versions of ``stored`` whose files may be deleted, oldest first.

    A version stays while ``needed`` says so; beyond that the ``keep`` newest that were announced and the ``keep``
    newest that were not (refused ones, and one that is just being written).

    Args:
        first_offsets: where each input partition's log begins.
        retention_ms: how long the input keeps its records.
    """
    announced = {announcement.version for announcement in registered.announcements.values()}
    kept = needed(registered, first_offsets, now_ms - retention_ms)
    for group in (set(stored) & announced - kept, set(stored) - announced):
        kept |= set(sorted(group)[-keep:])
    return sorted(set(stored) - kept)


def needed(registered: RegisteredModel, first_offsets: Mapping[int, int], since_ms: int) -> set[str]:
    """Versions that some shard may still be at, or that weighed rows whose events the log still holds.

    An announcement is over for a partition once the next one's first offset has left the log. A shard may have adopted
    that late and not said so yet: so the next one must also be older than ``since_ms``.
    """
    numbers = sorted(registered.announcements)
    return {
        registered.announcements[n].version
        for n, following in zip_longest(numbers, numbers[1:])
        if following is None
        or registered.announcements[following].created_at_ms >= since_ms
        or any(_first(registered, partition, following) > first for partition, first in first_offsets.items())
    }


def _first(registered: RegisteredModel, partition: int, n: int) -> int:
    """Where ``partition`` takes announcement ``n`` up."""
    late = registered.adopted.get((partition, n))
    return late.offset if late else registered.announcements[n].offset(partition)
