"""Durable state of shards: claims of ownership, atomic checkpoints, and what to refuse when they disagree with the log.

Knows what a snapshot's pieces are called, not what they mean (``sie_online.shard.layout``), nor what a store is made of
(``streams.store``).

- ``store``: ``CheckpointStore``: claim an epoch, load the newest whole checkpoint, write the next
- ``commit``: the order of a write, step by step, and what each leaves behind if it is the last
- ``folder``, ``manifest``: where pieces lie, and what names them; ``space``: which are written anew
- ``decisions``: when state and log disagree, and the flag that decides
- ``outputs``: who has published on the output topics, and under which epoch
"""

from streams.checkpoint.store import CheckpointStore, LoadedCheckpoint, Written

__all__ = ["CheckpointStore", "LoadedCheckpoint", "Written"]
