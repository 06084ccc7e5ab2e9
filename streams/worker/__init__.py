"""The worker process: record batches through their shards, what they say published, their state made durable.

Owns neither what a row says (``sie_online.shard``) nor how a checkpoint lies in the store (``streams.checkpoint``).

- ``service``: ``Worker``, the parts together; ``leases``: which shards are in memory, and owned under which epoch;
  ``current``: whether they still are
- ``processing``: batches in, statements out; ``publisher``: how those reach Kafka; ``filled_batch``: many at once
- ``recent``: what was published lately, to be asked for
- ``assignment``: what the group gives and takes; ``restore``: one shard taken over; ``checkpointer``: when it is saved
- ``adoption``: announced models on their way to the shards; ``topic_identity``: is the input still the same topic
- ``startup``, ``preflight``: what must hold before the group is joined
- ``lag``: how far behind the log, and with ``written`` for how long; ``report``: how the shards stand
- ``watchdog``: what may take how long, or the process ends
"""
