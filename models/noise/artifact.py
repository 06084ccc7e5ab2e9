"""A noise model's artifact: its tensors beside a canary that it must score, on loading, as it did when it was fitted.

What ``models.snapshot`` does for nets, for the tensors that ``sie_online.importance.noise.model`` names. The canary's
scores are the logits of its rows, and the log likelihood ratios where all that is mixed in with the constant is that
same logit. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtifactError
from models.forward import LARGEST_LAYER
from models.noise.forward import Floats, log_ratios, logits
from models.snapshot import CANARY_ROWS, Contents, check_finite, check_scores, encode

CANARY_EVIDENCE, CANARY_HEAD, CANARY_EVENTS = "canary.evidence", "canary.head", "canary.events"
CANARY_SCORES = "canary.scores"
NAMES = (
    "location",
    "scale",
    "support",
    "knots",
    "monotone",
    "monotone_bias",
    "w1",
    "b1",
    "w2",
    "b2",
    "w3",
    "b3",
    "mix",
    "share",
)
"""Names of the tensors in an artifact, all float32."""


class NoiseCanary(NamedTuple):
    """c rows, and what the model made of them."""

    evidence: Floats  # (c, N)
    head: NDArray[np.int8]  # (c,)
    events: Floats  # (c,)
    scores: Floats  # (c, 2): logit, log likelihood ratio


def canary_of(
    tensors: Mapping[str, NDArray[Any]], evidence: Floats, head: NDArray[np.int8], events: Floats
) -> NoiseCanary:
    """The canary of these rows, at most ``CANARY_ROWS``."""
    return NoiseCanary(evidence, head, events, _scores(tensors, evidence, head, events))


def encode_noise(tensors: Mapping[str, NDArray[Any]], canary: NoiseCanary) -> Contents:
    """The artifact of a noise model: ``tensors`` by `NAMES`.

    Raises:
        ArtifactError: a tensor is missing, does not fit or is not finite, or the canary is scored otherwise.
    """
    stored = {
        **{name: tensors[name] for name in NAMES if name in tensors},
        CANARY_EVIDENCE: canary.evidence,
        CANARY_HEAD: canary.head,
        CANARY_EVENTS: canary.events,
        CANARY_SCORES: canary.scores,
    }
    check_finite(stored)
    noise_of(stored)
    return encode(stored)


def noise_of(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """The noise model in an artifact's (decoded) ``tensors``, by `NAMES`, its canary verified.

    Raises:
        ArtifactError: it is no noise model, or scores its canary otherwise; the message names the tensor.
    """
    model = {name: _float32(tensors, name) for name in NAMES}
    for name, expected in _shapes(model).items():
        if model[name].shape != expected:
            raise ArtifactError(f"tensor {name!r} has shape {model[name].shape}, and the others need {expected}")
    canary = _canary_in(tensors, *model["monotone"].shape[:2])
    check_scores(_scores(model, canary.evidence, canary.head, canary.events), canary.scores)
    return model


def _float32(tensors: Mapping[str, NDArray[Any]], name: str) -> Floats:
    if name not in tensors:
        raise ArtifactError(f"tensor {name!r} is missing: this is no noise model")
    if tensors[name].dtype != np.float32:
        raise ArtifactError(f"tensor {name!r} is {tensors[name].dtype}, not float32")
    return tensors[name]


def _shapes(model: Mapping[str, Floats]) -> dict[str, tuple[int, ...]]:
    """The shape that every tensor must have beside the others."""
    strata, signals = model["location"].shape if model["location"].ndim == 2 else (0, 0)
    knots, heads, hidden1, hidden2 = (model[name].size for name in ("knots", "monotone_bias", "b1", "b2"))
    sizes = strata, signals, knots, heads, hidden1, hidden2, model["mix"].size
    if not (min(sizes) > 0 and max(sizes) <= LARGEST_LAYER):
        raise ArtifactError(
            f"a noise model has from 1 to {LARGEST_LAYER} strata, signals, knots, heads and hidden units"
        )
    return {
        "location": (strata, signals),
        "scale": (strata, signals),
        "support": (strata,),
        "knots": (knots,),
        "monotone": (heads, signals, 2 * knots),
        "monotone_bias": (heads,),
        "w1": (signals + heads + 1, hidden1),
        "b1": (hidden1,),
        "w2": (hidden1, hidden2),
        "b2": (hidden2,),
        "w3": (hidden2,),
        "b3": (1,),
        "mix": (heads, model["mix"].size // heads),
        "share": (heads,),
    }


def _canary_in(tensors: Mapping[str, NDArray[Any]], heads: int, signals: int) -> NoiseCanary:
    for name in (CANARY_EVIDENCE, CANARY_HEAD, CANARY_EVENTS, CANARY_SCORES):
        if name not in tensors:
            raise ArtifactError(f"tensor {name!r} is missing: a noise model without its canary is not trusted")
    evidence, events, scores = (_float32(tensors, n) for n in (CANARY_EVIDENCE, CANARY_EVENTS, CANARY_SCORES))
    head = tensors[CANARY_HEAD]
    rows = len(scores) if scores.ndim else 0
    shapes = evidence.shape, head.shape, events.shape, scores.shape
    if not 0 < rows <= CANARY_ROWS or shapes != ((rows, signals), (rows,), (rows,), (rows, 2)):
        raise ArtifactError("the canary's rows and scores do not fit the noise model, or are too many")
    if head.dtype != np.int8 or (head < 0).any() or (head >= heads).any() or (events < 0).any():
        raise ArtifactError("the canary names heads that there are not, or negative numbers of events")
    return NoiseCanary(evidence, head, events, scores)


def _scores(model: Mapping[str, NDArray[Any]], evidence: Floats, head: NDArray[np.int8], events: Floats) -> Floats:
    """(c, 2)"""
    with np.errstate(over="ignore", invalid="ignore"):  # of a runaway model: its scores tell, not a warning
        logit = logits(model, evidence, head, events)
        mixed = np.repeat(logit[:, None], model["mix"].shape[1], axis=1)
        mixed[:, 0] = 1
        return np.stack([logit, log_ratios(model["mix"], mixed, head)], axis=1)
