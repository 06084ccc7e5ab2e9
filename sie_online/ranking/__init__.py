"""What would this user like next? Incremental item neighbourhoods and popularity, as bounded tables.

Knows no event and no shard: it is told who had what, when, and what that counts for.

- ``tables``: what is known, and its bounds
- ``learning``: an event taken in; a user forgotten
- ``lists``: the best items for a user
- ``pooling``: what several shards have counted, put together
"""
