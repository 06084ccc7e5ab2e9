"""One partition's worth of learning: state, the event loop over it, and its snapshots.

``Shard`` is the whole public surface; a shard is a pure function of its partition's records. No clock, no socket, no
file: who owns it, and where its state is kept, is ``streams``' business.

- ``core``: ``Shard``, and in ``figures`` how it stands
- ``loop``: one pass over a batch in event order; ``estimate``: one event in it; ``external``: with a River classifier
- ``labels``: what becomes of open views; ``erase``: a user forgotten
- ``emit``, ``output``: what is said, row by row; ``gathering``: what may wait; ``pack``, ``render``: messages of it
- ``state``: all arrays together: ``slots`` and ``entities``, ``views``, ``dedupe``, ``clock``
- ``snapshot``: the state as pieces; ``layout``: what their bytes mean
- ``trace``: the evidence of a log, for a fit of the noise model
- ``schedule``: model versions and their offsets; ``pooled``: what the other shards have learned
"""

from sie_online.shard.core import Shard, ShardOutput, warm_up
from sie_online.shard.figures import RecordCounts, ShardStats
from sie_online.shard.gathering import Gathered
from sie_online.shard.layout import Layout
from sie_online.shard.snapshot import Snapshot

__all__ = ["Gathered", "Layout", "RecordCounts", "Shard", "ShardOutput", "ShardStats", "Snapshot", "warm_up"]
