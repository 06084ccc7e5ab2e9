"""The buffers that the event loop writes to: each thread has its own, whatever the number of shards that it runs.

A shard needs them from a pass of the loop to the rendering of what it wrote: those of many shards would lie idle.
"""

from __future__ import annotations

import threading

from sie_online.shard.output import MAX_ROWS, Out, new_out


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.by_id_bytes: dict[int, Out] = {}


_buffers = _Buffers()


def output_buffers(id_bytes: int) -> Out:
    """This thread's empty buffers of `MAX_ROWS` rows for ids of at most ``id_bytes``, for use until it asks again."""
    if id_bytes not in _buffers.by_id_bytes:
        _buffers.by_id_bytes = {id_bytes: new_out(MAX_ROWS, id_bytes)}
    out = _buffers.by_id_bytes[id_bytes]
    control = out.control[0]
    control["rows"] = control["settled"] = control["entities"] = 0
    return out
