"""What the values of the models topic are, as far as they are JSON.

An announcement and an adoption are what `sie_online.announcements` reads. A manifest belongs to `models.manifest`,
which a bare GPU host runs and nothing of the domain imports: here is what it looks like, and a test compares the two.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from sie_online.announcements import Adopted, Announcement, Number
from sie_online.contracts import INT64_MAX

Whole = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Ulid = Annotated[str, Meta(pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]


class TensorInfo(msgspec.Struct):
    """One tensor of an artifact."""

    name: str
    dtype: Annotated[str, Meta(description="numpy's name of it.")]
    shape: list[Whole]


class Verdict(msgspec.Struct):
    """What the gate said: reasons are empty exactly if it passed; the report has figures by kind of weights."""

    passed: bool
    reasons: list[str]
    report: dict[str, dict[str, float | None]]


class Manifest(msgspec.Struct):
    """Value of <model>/<version>: everything there is to say about an artifact but its bytes. Never overwritten."""

    version: Ulid
    parent: Ulid | None
    uri: Annotated[str, Meta(description="The artifact's address in the store.")]
    bytes: Whole
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    tensors: list[TensorInfo]
    feature_schema_hash: str
    mean_f: Annotated[float, Meta(gt=0)]
    train_offsets: Annotated[
        dict[str, Annotated[list[Whole], Meta(min_length=2, max_length=2)]],
        Meta(description="First and last offset trained on, by partition."),
    ]
    metrics: dict[str, float | None]
    baseline_metrics: dict[str, float | None]
    gate: Annotated[Verdict | None, Meta(description="Null until a verdict has been given.")]
    created_at_ms: Whole
    code_version: str
    model: str
    format: str


Current = Annotated[Number, Meta(title="Current", description="Value of <model>/current: the newest announcement's n.")]

MODEL_RECORDS = (Manifest, Announcement, Adopted, Current)
