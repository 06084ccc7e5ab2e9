"""Where rows go: topics, files, terminals.

* ``port``: what a sink must do (``Sink``), and what it is given (``Rows``).
* ``topic``: Kafka, which a worker always has.
* ``parquet``: a folder of files, beside Kafka.
* ``table``, ``json_lines``: what ``sie tail`` writes.
* ``registry``: those that ``sinks`` may name.
"""

from streams.sinks.json_lines import JsonLines
from streams.sinks.parquet import ParquetFolder
from streams.sinks.port import SAMPLES, WEIGHTS, Rows, Sink
from streams.sinks.registry import SINKS, new_sink
from streams.sinks.table import TableFile
from streams.sinks.topic import TopicSink

__all__ = [
    "SAMPLES",
    "SINKS",
    "WEIGHTS",
    "JsonLines",
    "ParquetFolder",
    "Rows",
    "Sink",
    "TableFile",
    "TopicSink",
    "new_sink",
]
