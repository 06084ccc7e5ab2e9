"""Which inputs moved f(x), the importance of a settled sample, of the net that was in force when it settled.

Owns what is needed for that (the sample as seen at the event, the version's artifact) and the sentence that says why
it cannot be told where something is missing; the arithmetic is ``models.attribution``'s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.attribution import attribute
from models.errors import ModelError
from models.forward import NetWeights, sigmoid
from models.inputs import label_known
from models.manifest import Manifest
from models.samples import feature_schema_hash, from_table
from sie_online.announcements import RegisteredModel
from sie_online.client.rows import WeightRow
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import SieError, UnreachableError
from sie_online.features import DENSE_NAMES, schema_hash
from streams.model_registry import artifacts
from streams.store import Store

IDS = ("user", "item", "category")
SCORES = ("probability", "feature_score", "error", "label_known")
"""The numbers after the dense ones; the first two enter by their square roots."""


class UnexplainedError(SieError):
    """f(x) of a row cannot be explained; the message is the sentence that says why."""


@dataclass(frozen=True)
class Contribution:
    """What one input added to logit f. ``value`` is as seen at the event; hashed ids have none that can be told."""

    name: str
    value: float | None
    logit: float


@dataclass(frozen=True)
class Influence:
    """f of the sample and of the baseline: an average sample of its type, with nothing known (``models.attribution``).

    ``contributions`` add up to ``logit - baseline_logit``; the one that moved f most comes first.
    """

    version: str
    mean_f: float
    f: float
    baseline_f: float
    logit: float
    baseline_logit: float
    contributions: tuple[Contribution, ...]


def require_net(row: WeightRow) -> None:
    """Raises UnexplainedError where no net has spoken in ``row``, or its sample is not kept."""
    if row.label is None and row.final:
        raise UnexplainedError("only settled samples are kept with their inputs, and this event is no sample")
    if not row.final:
        raise UnexplainedError("the event has not settled yet")
    if row.model_version == BUILTIN_MODEL:
        raise UnexplainedError("no net was in force when it settled")
    if not row.factors.get("influence"):
        raise UnexplainedError(f"{row.model_version} was in force but no part of the weight: see importance.combine")


def influence(row: WeightRow, sample: pa.RecordBatch, registered: RegisteredModel, store: Store) -> Influence:
    """What moved f of the settled ``row``, whose row of ``sie.samples.v1`` is ``sample``. Blocks.

    Raises:
        UnexplainedError: the version is gone, damaged, or was trained on other features.
    """
    version = row.model_version
    if version not in registered.manifests:
        raise UnexplainedError(f"the manifest of {version} is gone from the models topic")
    try:
        manifest = Manifest.from_json(registered.manifests[version])
        _require_same_features(manifest, sample)
        return _explained(manifest, artifacts.load(store, manifest), sample)
    except FileNotFoundError:
        raise UnexplainedError(f"the artifact of {version} is gone from the store") from None
    except UnreachableError as error:
        raise UnexplainedError(f"the store does not give the artifact of {version}: {error}") from None
    except ModelError as error:
        raise UnexplainedError(f"{version} cannot be loaded: {error}") from None


def _require_same_features(manifest: Manifest, sample: pa.RecordBatch) -> None:
    trained_on, seen = manifest.feature_schema_hash, feature_schema_hash(sample.schema)
    if trained_on != seen:
        raise UnexplainedError(f"{manifest.version} was trained on other features than the sample has")
    if seen != schema_hash():
        raise UnexplainedError("the sample has other features than this code knows")


def _explained(manifest: Manifest, weights: NetWeights, batch: pa.RecordBatch) -> Influence:
    sample = from_table(pa.Table.from_batches([batch]))
    found = attribute(weights, label_known(sample, weights.buckets))
    scores = (sample.probability[0], sample.feature_score[0], sample.error[0], 1.0)
    values = [*[None] * len(IDS), *sample.dense[0].tolist(), *map(float, scores)]
    names, moved = (*IDS, *DENSE_NAMES, *SCORES), [*found.ids.tolist(), *found.numbers.tolist()]
    contributions = [Contribution(*each) for each in zip(names, values, moved, strict=True)]
    f, baseline_f = sigmoid(np.array([found.logit, found.baseline_logit])).tolist()
    return Influence(
        version=manifest.version,
        mean_f=manifest.mean_f,
        f=f,
        baseline_f=baseline_f,
        logit=found.logit,
        baseline_logit=found.baseline_logit,
        contributions=tuple(sorted(contributions, key=lambda each: -abs(each.logit))),
    )
