"""The port of a format: how the bytes of one record become an event's fields.

A format only reads. Whether fields are a valid event (types, bounds, ids, times, the key), pseudonyms and dead letters
are `sie_online.ingest.judge`'s and `sie_online.ingest.decoder`'s, the same for all of them.
`tests/contract/decoder_contract.py` holds every format to what stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.parser import ParserLimits
from sie_online.ingest.records import RecordBatch


class RecordDecoder(ABC):
    """One format of the input topic's records. Made without arguments, once per shard; keeps nothing between records,
    so that rows do not depend on how the log is cut into batches.

    A value that begins with ``{`` is not given to it: whatever the topic's format, that is JSON, which this project's
    own tools write (heartbeats, erasures, ``sie replay``).
    """

    judges: ClassVar[bool] = False
    """Whether ``parse`` itself is unsure of what exceeds a limit or bound, or has another key than its user."""

    @abstractmethod
    def decode(self, value: bytes) -> object:
        """The fields of one record, by name, as plain values: text, int, float, bool, None; ``attributes`` a mapping.

        They need not be right, only readable: a missing field is left out, an unknown one may stay, and what is in
        ``attributes`` and cannot be said plainly may be any other object, which counts as dropped. A result that is no
        mapping is refused. An ``Event``, ``Heartbeat`` or ``Erase`` is taken as it is: types and bounds were checked.

        Raises:
            RefusedError: the bytes are no record of this format (``Reason.MALFORMED``), or another reason is known
                better here. ``ValueError``, ``LookupError``, ``TypeError``, ``ArithmeticError``, ``EOFError`` and
                ``RecursionError`` count as that, too; whatever else is raised ends the worker.
        """

    def parse(  # noqa: B027 - a fast path is optional
        self,
        limits: ParserLimits,
        batch: RecordBatch,
        columns: NDArray[np.void],
        spans: NDArray[np.int64],
        sure: NDArray[np.bool_],
    ) -> None:
        """The fast path, if there is one: read many records without an object each. Without it, nothing is sure.

        A row is *sure* only where ``decode`` would have given the same, bit for bit. Every other one is *unsure* and
        goes to ``decode``, which alone judges: so whatever is odd is left out here. What is written of an unsure row
        does not matter.

        Args:
            limits: what is allowed.
            batch: the records; ``batch.buffer`` holds their bytes.
            columns: (n,) of dtype ``EVENT``, numbers preset to NaN, that is absent. Where sure, ``time_ms`` and
                ``etype`` (position in ``EVENT_TYPES``) are written, and the numbers that the record has.
            spans: (n, len(IDS), 2), zeros. Where sure, the place of each id's text in ``batch.buffer`` (valid UTF-8, as
                it is to be published) and the place after it; empty where absent.
            sure: (n,), written.
        """
