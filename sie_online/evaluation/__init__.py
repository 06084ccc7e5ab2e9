"""The same core without a broker: a file through shards, and what was found in it."""
