"""Rows in a lake: what ``sie sink`` does. From the topics of weights and samples into Delta or Parquet tables.

Every (partition, offset, revision) of a topic comes to be in its table once, whatever kills the process, for a commit
names rows and positions together; and of two generations the higher stays. Reads what was published, as any
subscriber does.

- ``process``: a writer for each stream; ``writer``: from a topic into its table; ``reading``: the topic's side of it;
  ``waiting``: rows until the next commit
- ``marks``: how far a table has come, and which rows may repeat one in it; ``rivals``: which of two stays
- ``decisions``: where to go on, or why not
- ``port``: what a table must do; ``places``: which of them
- ``delta``, with ``delta_users`` and ``delta_errors``; ``parquet``, with ``manifest``, ``files`` and ``tenure`` (who
  writes it)
- ``users``: whose rows are to go; ``erasing``: ``sie erase --lake``
- ``layout``: columns and partitions; ``metrics``: what Prometheus is told; ``site``: where, and whether it is well
"""
