"""One partition's worth of learning: state, the event loop over it, and its snapshots.

`Shard` is the whole public surface; a shard is a pure function of its partition's records.
"""

from sie_online.shard.core import RecordCounts, Shard, ShardOutput, ShardStats, warm_up
from sie_online.shard.gathering import Gathered
from sie_online.shard.layout import Layout
from sie_online.shard.snapshot import Snapshot

__all__ = ["Gathered", "Layout", "RecordCounts", "Shard", "ShardOutput", "ShardStats", "Snapshot", "warm_up"]
