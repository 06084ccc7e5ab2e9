"""The worker process: record batches through their shards, what they say published, their state made durable."""
