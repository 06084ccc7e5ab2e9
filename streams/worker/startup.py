"""What must be true before a worker joins its group, in the order in which an operator would ask.

Settings were read already. Then: does the store answer, do the brokers allow what we do, are the topics there and of
the right shape, are the kernels compiled (a shard that compiles while it owns a partition would look dead).
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
import time
from collections.abc import Callable

from sie_online import jit, ndjson_text
from sie_online.ingest import log_batch
from sie_online.ingest.events import Text
from sie_online.ingest.keyed import fill_batches
from sie_online.settings import Settings
from sie_online.shard import warm_up, warm_up_lookup
from streams import access
from streams.store.probe import check_store
from streams.topics import check_topics

log = logging.getLogger(__name__)


PROGRESS_S = 10
"""Between two lines in the log while kernels are compiled."""


def prepare(settings: Settings, on_stage: Callable[[str], None]) -> None:
    """Check and warm up; blocks for seconds, or for half a minute where the kernels were never compiled.

    ``on_stage`` hears what it is at, from whatever thread.

    Raises:
        UnreachableError: store or broker does not answer.
        TopicError: a topic is missing or of the wrong shape.
        AccessError: the brokers do not allow what a worker does.
    """
    on_stage("checking the store")
    check_store(settings)
    on_stage("checking the topics")
    asyncio.run(check_topics(settings, access.worker(settings)))
    compile_kernels(on_stage, settings)
    gc.collect()
    gc.freeze()  # what is there by now stays: to look through all of it once more holds publishing up for 200 ms


def compile_kernels(on_stage: Callable[[str], None], settings: Settings | None = None) -> None:
    """Compile the kernels that ``settings`` need, or load them from their cache, telling how many are there."""
    started, done = time.monotonic(), threading.Event()
    threading.Thread(target=_report_progress, args=(on_stage, done), daemon=True).start()
    try:
        log_batch.warm_up()
        warm_up(settings)
        if settings is not None and settings.api.enabled:
            warm_up_lookup()
        nothing = Text.of([])
        list(fill_batches(nothing, nothing, partitions=1, limit=0))  # as the publisher does
        ndjson_text.warm_up()
    finally:
        done.set()
    log.info("kernels ready", extra={"seconds": round(time.monotonic() - started, 1)})


def _report_progress(on_stage: Callable[[str], None], done: threading.Event) -> None:
    for second in itertools.count():
        ready, there_are = jit.progress()
        on_stage(f"compiling kernels ({ready} of at most {there_are})")
        if second % PROGRESS_S == 1:  # kernels that were compiled before are loaded by then
            log.info("compiling kernels", extra={"ready": ready, "of": there_are, "cache": str(jit.folders.kept)})
        if done.wait(1.0):
            return
