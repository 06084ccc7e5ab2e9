"""Durable state of shards: claims of ownership, atomic checkpoints, and what to refuse when they disagree with the log.

* ``CheckpointStore``: claim an epoch, load the newest whole checkpoint, write the next (``store``).
* ``commit``: the order of a write, step by step, and what each leaves behind if it is the last.
* ``backend``: the operations a store must offer; a local disk's.
* ``decisions``: when state and log disagree, and the flag that decides.
"""

from streams.checkpoint.store import CheckpointStore, Loaded, Written

__all__ = ["CheckpointStore", "Loaded", "Written"]
