"""From bytes to valid events. Judges each record by itself: what events mean together is ``shard``'s.

- ``records``: ``RecordBatch``, what the transport hands over; ``wire``: records that have no offset yet
- ``record_columns``: what a batch is made of; ``log_batch``: a log's own bytes as that; ``log_format``: the kernel that
  finds records in them; ``headers``: those that records have
- ``events``: what a record may say, valid ones as columns, and ``DeadLetter`` for the rest
- ``decoder``: from the one to the other; ``formats``: what reads the bytes; ``judge``: whether that is an event;
  ``parser``: the fast path for JSON
- ``partitioner``: where Kafka puts a key; ``keyed``: many records laid out as in its batches;
  ``sources``: event files as wire records
"""
