"""What a subscriber installs: weights, samples and entity tables read from Kafka, and nothing heavy.

Reads what was published and computes no weight. The public names are also at ``sie_online``'s top, resolved when used.

- ``subscriber``: ``WeightSubscriber``, ``SampleSubscriber``; the way in; ``torch``: the same as a ``Dataset``
- ``subsample``: all positives and a few of the negatives, with what the loss adds; ``keep_rate``: how many are few
- ``entities``: ``EntityReader``, the sums over all shards; ``beta``: their intervals
- ``recommendations``: ``RecommendationReader``, what to show each user; ``compacted``: what it shares with the former
- ``rows``: messages to typed rows; ``revisions``: which of them are news; ``unreadable``: what cannot be read
- ``lakes``: which files are the Parquet table that ``sie sink`` writes
- ``reader``: one topic without a consumer group; ``share``: one of several readers
- ``connection``: how any client reaches the brokers; ``tokens``: what it logs in with where that is OAUTHBEARER;
  ``files``: passwords and certificates; ``login``: why they do not let us in; ``access``: what they allow;
  ``availability``: whether they answer
- below: ``consumer``, ``batches``, ``backoff``: aiokafka made patient; ``folding``: what its log repeats;
  ``metadata``: a request of Kafka's that it lacks
"""
