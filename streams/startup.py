"""What must be true before a worker joins its group, in the order in which an operator would ask.

Settings were read already. Then: does the store answer, do the brokers allow what we do, are the topics there and of
the right shape, are the kernels compiled (a shard that compiles while it owns a partition would look dead).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time

from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from sie_online.shard import warm_up
from streams import access
from streams.checkpoint.backend import Part, open_backend
from streams.topics import check_topics

log = logging.getLogger(__name__)


def prepare(settings: Settings) -> None:
    """Check and warm up; blocks for seconds, or for half a minute where the kernels were never compiled.

    Raises:
        UnreachableError: store or broker does not answer.
        TopicError: a topic is missing or of the wrong shape.
        AccessError: the brokers do not allow what a worker does.
    """
    check_store(settings)
    asyncio.run(check_topics(settings, access.worker(settings)))
    started = time.monotonic()
    warm_up()
    log.info("kernels ready", extra={"seconds": round(time.monotonic() - started, 1)})


def check_store(settings: Settings) -> None:
    """Write to the store and read it back.

    Raises:
        UnreachableError: it does not answer, or may not be written.
    """
    name, content = f"probe-{socket.gethostname()}-{os.getpid()}", b"sie"
    try:
        backend = open_backend(settings.store)
        backend.put(name, [Part.of(content)])
        backend.delete(name)
    except UnreachableError as error:
        raise UnreachableError(f"store {settings.store} cannot be used: {error}") from error
