"""What people and Prometheus see of a worker and a trainer. Measures nothing itself: it is told, or asks.

- ``metrics``: ``Metrics``, all of a worker's: ``quality_metrics``, with a ``running_auc``, and ``shard_metrics``;
  ``families`` they are made of, ``histograms``: fed many values at once; ``thread_times``: busy threads;
  ``broker_metrics``: the brokers; ``query_metrics``: the Query API
- ``web``: ``WorkerSite``, a worker's own; ``http``: what all sites have in common
- ``status``: a worker's document, read off its metrics (``samples``)
- ``page``: the status pages of worker and trainer; ``trainer_watch``: what a worker repeats of the trainer beside it
- ``logs``: one line per message on stderr
"""
