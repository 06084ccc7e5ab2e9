"""One partition's worth of learning: state, the event loop over it, and its snapshots.

``Shard`` is the whole public surface; a shard is a pure function of its partition's records. No clock, no socket, no
file: who owns it, and where its state is kept, is ``streams``' business.

- ``core``: ``Shard``, put together of what is ``learned``, the ``assembly`` of what it says, and the ``questions`` it
  answers; ``figures``: how it stands; ``compilation``: of all that it calls
- ``loop``: one pass over a batch in event order; ``ahead``: what it asks of memory beforehand; ``estimate``: one event
  in it; ``external``: with a River classifier
- ``labels``: what becomes of open views; ``erase``: a user forgotten
- ``emit``, ``output``, ``buffers``: what is said, row by row; ``pack``, ``render``: messages of it; ``gathering``: what
  may wait; ``stated``: statements about entities, and ``digits``: their numbers
- ``state``: all arrays together: ``entities``, ``views``, ``dedupe``, ``clock``; their ``scratch`` files
- ``ranking``: lists for users, learned beside the event loop; ``lists``: those that are published
- ``snapshot``: the state as pieces; ``patches``: of tables, rows that changed; ``ranges``: of open views; ``layout``:
  what their bytes mean
- ``lookup``: what ``questions`` look up, without anything being learned
- ``sizing``: what all of it takes at most
- ``trace``: the evidence of a log, for a fit of the noise model
- ``schedule``: model versions and their offsets; ``pooled``: what the other shards have learned
"""

from sie_online.shard.assembly import ShardOutput
from sie_online.shard.compilation import warm_up, warm_up_lookup
from sie_online.shard.core import Shard
from sie_online.shard.figures import RecordCounts, ShardStats
from sie_online.shard.gathering import Gathered
from sie_online.shard.layout import Layout
from sie_online.shard.snapshot import Snapshot
from sie_online.shard.stated import Statements

__all__ = [
    "Gathered",
    "Layout",
    "RecordCounts",
    "Shard",
    "ShardOutput",
    "ShardStats",
    "Snapshot",
    "Statements",
    "warm_up",
    "warm_up_lookup",
]
