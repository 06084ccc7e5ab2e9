"""How fast it is. No tests: figures depend on the machine, so nothing here passes or fails by them.

``python -m tests.benchmarks.throughput`` (``make bench``): the whole job on real Apache Kafka, beside stock Faust doing
the same one event at a time, an empty fetch, and other engines (``peers``); latency against load; curves.
``python -m tests.benchmarks.capacity``: a fleet's size from such a result. ``python -m tests.benchmarks.shard``: where
the microseconds of one event go, in memory. ``python -m tests.benchmarks.guard``: how often the guard is wrong, and how
soon it is right. ``python -m tests.benchmarks.open_views``: what a day of open views takes.
``python -m tests.benchmarks.subsample``: what training on a tenth of the samples costs.
``python -m tests.benchmarks.queries``: what questions to a worker cost.
"""

import os

from tests.support.brokers import ROOT

# Before anything imports numba: compiled kernels are kept from one run to the next, as the tests' are.
os.environ.setdefault("SIE_CACHE_DIR", str(ROOT / "build" / "cache"))

BENCH = ROOT / "build" / "bench"
"""Where results are written."""
