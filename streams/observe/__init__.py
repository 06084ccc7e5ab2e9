"""What people and Prometheus see of a worker and a trainer. Measures nothing itself: it is told, or asks.

- ``metrics``: ``Metrics``, all of a worker's: ``quality_metrics``, with a ``running_auc``, and ``shard_metrics``;
  ``families`` they are made of, ``histograms``: fed many values at once; ``thread_times``: busy threads;
  ``broker_metrics``: the brokers
- ``web``: ``Site``, a worker's own; ``status``: its status page's figures; ``http``: what all sites have in common
- ``logs``: one line per message on stderr
"""
