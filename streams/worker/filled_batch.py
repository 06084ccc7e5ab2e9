"""A record batch whose records are bytes already, for aiokafka's producer: beside them it only counts.

The producer knows batches as `BatchBuilder`; what of it is not public is here and nowhere else.
"""

from __future__ import annotations

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy

from sie_online.ingest.keyed import Filled

FORMAT = 2


class FilledBatch(BatchBuilder):  # type: ignore[misc]  # aiokafka has no types
    """The batch of ``filled``; closed, so nothing is added to it.

    Args:
        filled: its records.
        timestamp_ms: of all of them.
        compression: a name of ``kafka.compression``; what would not shrink stays as it is.
    """

    def __init__(self, filled: Filled, timestamp_ms: int, compression: str) -> None:
        codec = getattr(DefaultRecordBatch, f"CODEC_{compression.upper()}")
        super().__init__(len(filled.records), codec)
        self._builder = _Records(filled, timestamp_ms, codec)
        self._relative_offset = filled.n_records
        self.close()

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._builder.set_producer_state(producer_id, producer_epoch, base_sequence)


# of the compiled builder one cannot set the bytes
class _Records(_DefaultRecordBatchBuilderPy):  # type: ignore[misc]
    def __init__(self, filled: Filled, timestamp_ms: int, codec: int) -> None:
        super().__init__(FORMAT, codec, 0, -1, -1, 0, len(filled.records))
        self._buffer += filled.records
        self._num_records = filled.n_records
        self._last_offset = filled.n_records - 1
        self._first_timestamp = self._max_timestamp = timestamp_ms
