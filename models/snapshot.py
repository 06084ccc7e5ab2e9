"""A model's artifact: tensors by name in safetensors, with a canary, written whole and verified before use.

Imports numpy and safetensors, so that a worker loads a model without torch. The canary is a set of inputs and the
scores that the net gave for them when it was trained; a loader computes them anew (``forward``), so that neither a
damaged file nor a wrong implementation gets to weigh an event.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from models.errors import ArtifactError
from models.forward import N_HEADS, NetWeights, scores, tensors_of, weights_of
from models.inputs import IDS, Inputs
from models.manifest import Manifest, TensorInfo, Verdict

__all__ = ["Canary", "Contents", "Manifest", "TensorInfo", "Verdict", "decode", "encode", "load", "net_of", "write"]

CANARY_IDS, CANARY_NUMBERS, CANARY_SCORES = "canary.ids", "canary.numbers", "canary.scores"
CANARY_TOLERANCE = 1e-4
"""Largest difference of a score: float32 sums in another order differ by 1e-6, other weights by far more."""

CANARY_ROWS = 4_096
"""More are not scored: what a canary costs must not depend on who wrote it."""
HEADER_BYTES = 1 << 20
"""Names, dtypes and places of an artifact's tensors take some 2 kB."""

Tensors = Mapping[str, NDArray[Any]]


class Canary(NamedTuple):
    """Inputs (c samples) and the scores (c, 2) that the net gave for them."""

    inputs: Inputs
    scores: NDArray[np.float64]


class Contents(NamedTuple):
    """An artifact's bytes and what a manifest says about them."""

    data: bytes
    sha256: str
    tensors: tuple[TensorInfo, ...]


def encode(tensors: Tensors) -> Contents:
    """The artifact of ``tensors``: the same tensors give the same bytes."""
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    data = safetensors_numpy.save(arrays)
    described = tuple(TensorInfo(name, str(array.dtype), array.shape) for name, array in arrays.items())
    return Contents(data, hashlib.sha256(data).hexdigest(), described)


def encode_net(weights: NetWeights, canary: Canary) -> Contents:
    """The artifact of a net.

    Raises:
        ArtifactError: a tensor is not finite, or the net does not score its canary as ``canary`` says.
    """
    tensors: dict[str, NDArray[Any]] = {
        **tensors_of(weights),
        CANARY_IDS: canary.inputs.ids,
        CANARY_NUMBERS: canary.inputs.numbers,
        CANARY_SCORES: canary.scores,
    }
    check_finite(tensors)
    net_of(tensors)
    return encode(tensors)


def decode(data: bytes, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """The tensors in ``data`` after checking size, digest, names, dtypes, shapes and finiteness, in that order.

    Raises:
        ArtifactError: something is not as ``manifest`` says; the message names it.
    """
    if len(data) != manifest.size:
        raise ArtifactError(f"{manifest.uri} has {len(data)} bytes, its manifest says {manifest.size}")
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise ArtifactError(f"{manifest.uri} does not have the SHA-256 of its manifest: it is damaged or another file")
    tensors = tensors_in(data)
    _check_shapes(tensors, manifest)
    check_finite(tensors)
    return tensors


def tensors_in(data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors in ``data``, whatever they are: integers and real numbers of numpy's own types.

    Raises:
        ArtifactError: it is no safetensors file, or one of other types.
    """
    if int.from_bytes(data[:8], "little") > HEADER_BYTES:
        raise ArtifactError(f"it is no safetensors file: its header has more than {HEADER_BYTES} bytes")
    try:
        tensors: dict[str, NDArray[Any]] = safetensors_numpy.load(data)
    except (SafetensorError, ValueError, TypeError, KeyError, ImportError, OverflowError) as error:
        raise ArtifactError(f"it is no safetensors file: {error}") from None
    for name, array in tensors.items():
        if array.dtype.kind not in "iuf":
            raise ArtifactError(f"tensor {name!r} is {array.dtype}, which no tensor of ours is")
    return tensors


def net_of(tensors: Tensors) -> NetWeights:
    """The net in ``tensors``, which must score its canary as it did when it was trained.

    Raises:
        ArtifactError: it is no importance net, or its scores differ.
    """
    weights = weights_of(tensors)
    canary = _canary_of(tensors, weights)
    check_scores(scores(weights, canary.inputs), canary.scores)
    return weights


def check_scores(found: NDArray[Any], expected: NDArray[Any]) -> None:
    """Whether a model scores its canary as it did when it was trained; both of one shape.

    Raises:
        ArtifactError: it does not.
    """
    worst = float(np.abs(found - expected).max())
    if not worst <= CANARY_TOLERANCE:
        raise ArtifactError(f"the canary's scores differ by {worst:.3g}, more than {CANARY_TOLERANCE:g}")


def load(path: Path, manifest: Manifest) -> NetWeights:
    """The net in the file ``path``, verified: size, digest, shapes, finiteness, canary.

    Raises:
        ArtifactError: a check failed. OSError: the file cannot be read.
    """
    return net_of(decode(path.read_bytes(), manifest))


def write(path: Path, data: bytes) -> None:
    """Make ``data`` the file ``path``: whole and durable, or not there at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name is durable only then
    finally:
        os.close(folder)


def _canary_of(tensors: Tensors, weights: NetWeights) -> Canary:
    for name in (CANARY_IDS, CANARY_NUMBERS, CANARY_SCORES):
        if name not in tensors:
            raise ArtifactError(f"tensor {name!r} is missing: a net without its canary is not trusted")
    ids, numbers, expected = tensors[CANARY_IDS], tensors[CANARY_NUMBERS], tensors[CANARY_SCORES]
    n = len(expected) if expected.ndim else 0
    fitting = (n, IDS), (n, len(weights.mean)), (n, N_HEADS)
    if not 0 < n <= CANARY_ROWS or (ids.shape, numbers.shape, expected.shape) != fitting:
        raise ArtifactError("the canary's inputs and scores do not fit the net, or are too many")
    if numbers.dtype.kind != "f" or expected.dtype.kind != "f":
        raise ArtifactError("the canary's inputs and scores are no real numbers")
    rows = np.array([len(table) for table in weights.tables])
    if ids.dtype != np.int32 or (ids < 0).any() or (ids >= rows).any():
        raise ArtifactError(f"tensor {CANARY_IDS!r} names rows that the tables do not have")
    return Canary(Inputs(ids, numbers), expected)


def _check_shapes(tensors: Tensors, manifest: Manifest) -> None:
    declared = {tensor.name: tensor for tensor in manifest.tensors}
    if declared.keys() != tensors.keys():
        raise ArtifactError(f"tensors {sorted(declared.keys() ^ tensors.keys())} are not both in artifact and manifest")
    for name, array in tensors.items():
        if (str(array.dtype), array.shape) != (declared[name].dtype, declared[name].shape):
            wanted = f"{declared[name].dtype} {declared[name].shape}"
            raise ArtifactError(f"tensor {name!r} is {array.dtype} {array.shape}, its manifest says {wanted}")


def check_finite(tensors: Tensors) -> None:
    """Whether every value is a number.

    Raises:
        ArtifactError: one is not; the message names the tensor.
    """
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ArtifactError(f"tensor {name!r} has values that are not finite")
