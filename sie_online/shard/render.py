"""From the kernels' rows to the messages of weights and samples, in layout 2 (`sie_online.packing`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online import ipc
from sie_online.contracts import CODE_VERSION, FACTORS, names_metadata
from sie_online.features import DENSE_NAMES, FEATURE_NAMES, N_DENSE, N_FEATURES, schema_hash
from sie_online.packing import FINAL, LABEL_UNKNOWN, LEFT, N_CODES, SCORES, Head, framing, matrix_array
from sie_online.shard.output import SETTLED_KEYS, STATEMENT, Out, new_out
from sie_online.shard.pack import SURVEY, pack_ids, pack_rows, survey
from sie_online.unpacking import FramedRows, unpack

OVERHEAD = 3_000
"""Bytes that a message has beside its rows, at most."""
NUMBER_BYTES = 4 * (max(map(len, SCORES.values())) + len(FACTORS))
ROW_BYTES = {"weights": 19 + NUMBER_BYTES, "samples": 41 + 2 * N_FEATURES + 4 * N_DENSE + NUMBER_BYTES}
"""Of a row without its ids, at most, unless it is one of the few whose numbers do not fit."""

NARROW_MOST = 255
"""Codes up to this have one byte."""

Frame = Callable[[int, int], bytes]


class SettledSamples(NamedTuple):
    """Settled samples as the kernels left them, copied from the buffers; all of length n but for the ids."""

    rows: NDArray[np.void]
    keys: NDArray[np.void]
    ids_at: NDArray[np.int32]
    """(n + 1,): where in ``ids`` each event id begins, and the last one ends."""
    ids: NDArray[np.uint8]
    features: NDArray[np.uint32]
    dense: NDArray[np.float32]


class Renderer:
    """Turns filled buffers into messages of at most ``max_message_bytes``, for one shard.

    Most messages of a live stream have a handful of rows: what they cost is the making of arrays and schemas. So there
    are few arrays, and the schema is kept.
    """

    def __init__(self, topic: str, partition: int, max_message_bytes: int) -> None:
        self._partition = partition
        self._limit = max_message_bytes
        common = (("source_topic", topic), ("code_version", CODE_VERSION))
        features = ("feature_schema_hash", schema_hash()), *names_metadata(FEATURE_NAMES, DENSE_NAMES).items()
        self._metadata = {"weights": common, "samples": (*common, *features)}
        self._survey = np.zeros(1, SURVEY)
        self._no_weights = unpack(ipc.read_batch(self._frame_weights(new_out(1, 1), 0, 0, 0, "")))
        self._no_samples = unpack(ipc.read_batch(self._frame_samples(_NONE, 0, 0, 0)))

    def weights(self, out: Out, generation: int, version: str) -> FramedRows:
        """All statements in ``out``, in order of emission; ``version`` is the model's that was in force."""
        n = int(out.control["rows"][0])
        ids = int(out.event_at[n]) + int(out.user_at[n]) + int(out.item_at[n])
        messages = self._cut(
            n,
            n * ROW_BYTES["weights"] + ids,
            lambda first, last: self._frame_weights(out, first, last, generation, version),
        )
        return FramedRows(tuple(messages), n, self._no_weights)

    def samples(self, settled: SettledSamples | None, generation: int) -> FramedRows:
        """The rows of ``settled``."""
        given = settled or _NONE
        n = len(given.rows)
        messages = self._cut(
            n,
            n * ROW_BYTES["samples"] + len(given.ids),
            lambda first, last: self._frame_samples(given, first, last, generation),
        )
        return FramedRows(tuple(messages), n, self._no_samples)

    def _cut(self, n: int, n_bytes: int, frame: Frame) -> Iterator[bytes]:
        """``n`` rows of ``n_bytes`` as messages within the limit."""
        pieces = min(n, -(-n_bytes // max(1, self._limit - OVERHEAD)))
        edges = [n * piece // pieces for piece in range(pieces + 1)] if pieces else []
        for first, last in pairwise(edges):
            yield from self._within_limit(first, last, frame)

    def _within_limit(self, first: int, last: int, frame: Frame) -> Iterator[bytes]:
        message = frame(first, last)
        if len(message) <= self._limit or last - first == 1:
            yield message
        else:
            half = (first + last) // 2
            yield from self._within_limit(first, half, frame)
            yield from self._within_limit(half, last, frame)

    def _frame_weights(self, out: Out, first: int, last: int, generation: int, version: str) -> bytes:
        rows, edges = out.rows, (out.event_at, out.user_at, out.item_at)
        common, matrices = self._packed("weights", rows, first, last)
        matrices["ids"] = _letters(last - first, sum(int(at[last] - at[first]) for at in edges))
        longest = pack_ids(out, first, matrices["codes"], matrices["ids"].reshape(-1))
        if max(longest, common["revision"]) > NARROW_MOST:
            matrices["codes"] = _wide_codes(rows[first:last], edges, first, last, final=rows["final"][first:last])
        return self._framed("weights", common, generation, version, matrices)

    def _frame_samples(self, settled: SettledSamples, first: int, last: int, generation: int) -> bytes:
        n, ends = last - first, settled.ids_at
        common, matrices = self._packed("samples", settled.rows, first, last)
        lengths = np.diff(ends[first : last + 1])
        matrices["codes"][:, 3] = lengths
        if max(lengths.max(initial=0), common["revision"]) > NARROW_MOST:
            matrices["codes"] = _wide_codes(settled.rows[first:last], (ends,), first, last)
        features = settled.features[first:last]
        if features.max(initial=0) <= np.iinfo(np.uint16).max:
            features = features.astype(np.uint16)
        ids = _letters(n, int(ends[last] - ends[first]))
        ids.reshape(-1)[: ends[last] - ends[first]] = settled.ids[ends[first] : ends[last]]
        matrices |= {
            "hashes": np.ascontiguousarray(settled.keys[first:last].view(np.uint64).reshape(n, 4)[:, :3]),
            "features": features,
            "dense": settled.dense[first:last],
            "ids": ids,
        }
        return self._framed("samples", common, generation, "", matrices)

    def _packed(
        self, kind: str, rows: NDArray[np.void], first: int, last: int
    ) -> tuple[np.void, dict[str, NDArray[Any]]]:
        """What the rows have in common, and matrices of what they have not."""
        n, common = last - first, self._survey[0]
        survey(rows, first, last, common)
        n_whole = 2 if common["least_delay_ms"] == common["most_delay_ms"] else 3
        whole, codes = np.empty((n, n_whole), np.uint32), np.empty((n, N_CODES[kind]), np.uint8)
        numbers = np.empty((n, len(SCORES[kind]) + int(common["factors"].sum())), np.float32)
        pack_rows(rows, first, common, whole, codes, numbers)
        matrices: dict[str, NDArray[Any]] = {"whole": whole, "codes": codes, "numbers": numbers}
        if not common["fits"]:
            common["offset"] = common["time_ms"] = 0
            times, known = (rows[name][first:last] for name in ("event_time_ms", "published_ms"))
            matrices["whole"] = np.column_stack((rows["offset"][first:last], times, known - times)[:n_whole])
        return common, matrices

    def _framed(
        self, kind: str, common: np.void, generation: int, version: str, matrices: dict[str, NDArray[Any]]
    ) -> bytes:
        present = dict(zip(FACTORS, common["factors"].tolist(), strict=True))
        head = Head(
            version=2,
            rows=kind,
            partition=self._partition,
            generation=generation,
            model_version=version,
            offset=int(common["offset"]),
            time_ms=int(common["time_ms"]),
            delay_ms=int(common["least_delay_ms"]) if matrices["whole"].shape[1] == 2 else 0,
            numbers=(*SCORES[kind], *(f"f_{name}" for name, there in present.items() if there)),
            zero=tuple(f"f_{name}" for name, there in present.items() if not there and f"f_{name}" != LEFT),
        )
        shapes = tuple((name, matrix.shape[1], matrix.dtype.str) for name, matrix in matrices.items())
        known = framing(head, shapes, self._metadata[kind])
        return known.frame(
            [matrix_array(matrix, kind) for matrix, kind in zip(matrices.values(), known.schema.types, strict=True)]
        )


_NONE = SettledSamples(
    rows=np.zeros(0, STATEMENT),
    keys=np.zeros(0, SETTLED_KEYS),
    ids_at=np.zeros(1, np.int32),
    ids=np.zeros(0, np.uint8),
    features=np.zeros((0, N_FEATURES), np.uint32),
    dense=np.zeros((0, N_DENSE), np.float32),
)


def _letters(n: int, n_bytes: int) -> NDArray[np.uint8]:
    """Room for ``n_bytes`` in ``n`` rows of one length; zeros where there is more of it."""
    letters = np.empty((n, -(-n_bytes // max(n, 1))), np.uint8)
    letters.reshape(-1)[n_bytes:] = 0
    return letters


def _wide_codes(
    rows: NDArray[np.void],
    edges: Sequence[NDArray[np.int32]],
    first: int,
    last: int,
    final: NDArray[np.int32] | int = 0,
) -> NDArray[np.int32]:
    """The codes as `sie_online.shard.pack` writes them, with room for each."""
    label = np.where(rows["label"] < 0, LABEL_UNKNOWN, rows["label"]) + FINAL * final
    lengths = (np.diff(at[first : last + 1]) for at in edges)
    return np.column_stack((rows["etype"], label, rows["revision"], *lengths)).astype(np.int32)
