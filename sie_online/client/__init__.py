"""What a subscriber installs: weights, samples and entity tables read from Kafka, and nothing heavy.

- ``subscriber``: ``WeightSubscriber``, ``SampleSubscriber``; the way in
- ``entities``: ``EntityReader``, the sums over all shards (``beta``: their intervals)
- ``rows``: messages to typed rows; ``revisions``: which of them are news
- ``reader``: one topic without a consumer group; ``connection``: how any client reaches the brokers

The public names are also at ``sie_online``'s top, resolved when they are used.
"""
