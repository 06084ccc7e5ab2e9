"""Hyper-parameters of the models, of their fits and of their gates: names, defaults, bounds and meanings, once.

``models.settings`` refuses what is out of bounds where there may be no pydantic, on a bare GPU host;
``sie_online.settings.training`` makes sections of a deployment's settings of the same fields. Imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


def about(description: str, **bounds: float) -> dict[str, str | float]:
    """Metadata of a setting: its meaning, and its bounds under the names that pydantic has for them (ge, gt, le)."""
    return {"description": description, **bounds}


@dataclass(frozen=True)
class NetSizeSettings:
    """Sizes of the importance net."""

    users: int = field(default=1 << 15, metadata=about("Buckets of user ids.", ge=2, le=1 << 24))
    items: int = field(default=1 << 16, metadata=about("Buckets of item ids.", ge=2, le=1 << 24))
    categories: int = field(default=1 << 12, metadata=about("Buckets of category ids.", ge=2, le=1 << 24))
    id_dim: int = field(default=8, metadata=about("Numbers per embedded id.", ge=1, le=256))
    type_dim: int = field(default=4, metadata=about("Numbers per embedded event type.", ge=1, le=64))
    hidden1: int = field(default=256, metadata=about("Width of the first hidden layer.", ge=1, le=4096))
    hidden2: int = field(default=128, metadata=about("Width of the second hidden layer.", ge=1, le=4096))


TrainingDevice = Literal["auto", "cuda", "cpu"]
TrainingMode = Literal["full", "heads"]
TrainingTarget = Literal["influence", "error", "probability"]

SMALLEST_BATCH = 64
"""An out-of-memory halves the batch down to this; below it nothing is gained."""


@dataclass(frozen=True)
class FineTuneSettings:
    """How a fine-tune goes."""

    device: TrainingDevice = field(default="auto", metadata=about("Where; auto takes a GPU where there is one."))
    mode: TrainingMode = field(
        default="full", metadata=about("full trains all; heads the last layer over a frozen body, once there is a net.")
    )
    target: TrainingTarget = field(default="influence", metadata=about("What f(x) learns."))
    epochs: int = field(default=6, metadata=about("Passes over the training part at most.", ge=1, le=1000))
    patience: int = field(default=2, metadata=about("Passes without a better validation loss before stopping.", ge=1))
    batch: int = field(
        default=1024, metadata=about("Samples per step; halved where device memory runs out.", ge=SMALLEST_BATCH)
    )
    learning_rate: float = field(default=1e-3, metadata=about("Adam's step for all but the embeddings.", gt=0))
    importance_share: float = field(default=1.0, metadata=about("Importance loss against prediction loss.", ge=0))
    spread_penalty: float = field(default=0.1, metadata=about("Lambda of the penalty mean((w - 1)^2).", ge=0))
    largest_norm: float = field(default=1e4, metadata=about("A gradient norm above it ends the fine-tune.", gt=0))
    slices: int = field(default=6, metadata=about("Time slices of the training part.", ge=2, le=10_000))
    seed: int = field(default=0, metadata=about("Seed of start values, shuffling and the window's reservoir.", ge=0))


@dataclass(frozen=True)
class GateSettings:
    """What a candidate must show."""

    gain_level: float = field(
        default=0.95,
        metadata=about("Confidence, by users, that NLL is below what serves; 0: no worse is enough.", ge=0, le=0.999),
    )
    nll_slack: float = field(default=0.002, metadata=about("NLL may be worse by this share.", ge=0))
    auc_slack: float = field(default=0.003, metadata=about("AUC and GAUC may be lower by this much.", ge=0))
    calibration_low: float = field(default=0.9, metadata=about("Least mean probability / positive rate.", ge=0, le=1))
    calibration_high: float = field(default=1.1, metadata=about("Largest mean probability / positive rate.", ge=1))
    effective_share: float = field(
        default=0.3, metadata=about("Least effective sample size as a share of n.", ge=0, le=1)
    )
    min_positives: int = field(default=20, metadata=about("Positives that the scored part needs for a verdict.", ge=1))


@dataclass(frozen=True)
class NoiseFitSettings:
    """How a fit of the noise model goes."""

    device: TrainingDevice = field(default="auto", metadata=about("Where; auto takes a GPU where there is one."))
    hidden1: int = field(default=32, metadata=about("Width of the net's first hidden layer.", ge=1, le=1024))
    hidden2: int = field(default=16, metadata=about("Width of the net's second hidden layer.", ge=1, le=1024))
    epochs: int = field(
        default=12, metadata=about("Passes over the examples, of each part; the best one is kept.", ge=1, le=1000)
    )
    batch: int = field(default=2048, metadata=about("Examples per step at most.", ge=SMALLEST_BATCH))
    learning_rate: float = field(default=5e-3, metadata=about("Adam's largest step.", gt=0))
    weight_decay: float = field(default=2e-3, metadata=about("Decay of the net's weights.", ge=0))
    sparsity: float = field(default=2e-4, metadata=about("Penalty on the sum of the monotone weights.", ge=0))
    smoothing: float = field(default=0.02, metadata=about("How far targets are from 0 and 1.", ge=0, le=0.2))
    jitter: float = field(default=0.1, metadata=about("Deviation of noise on the net's inputs in training.", ge=0))
    dropout: float = field(default=0.1, metadata=about("Share of hidden units left out in training.", ge=0, le=0.5))
    innocent_share: float = field(
        default=0.3, metadata=about("Innocent behaviours' share of the weight of what is no noise.", ge=0, le=0.9)
    )
    held_out: float = field(
        default=0.2, metadata=about("Share of the behaviours that choose the pass and calibrate it.", ge=0.05, le=0.5)
    )
    seed: int = field(default=0, metadata=about("Seed of start values, shuffling and what is held out.", ge=0))


@dataclass(frozen=True)
class NoiseGateSettings:
    """What a noise model must show on behaviours of families that it was not fitted on."""

    worst_auc: float = field(default=0.35, metadata=about("Least AUC of detection, worst family.", ge=0, le=1))
    median_auc: float = field(default=0.7, metadata=about("Least AUC of detection, median family.", ge=0, le=1))
    auc_slack: float = field(default=0.05, metadata=about("The worst may be lower than now by this much.", ge=0))
    auc_gain: float = field(
        default=0.0, metadata=about("Mean gain in AUC over families, less its error, must be above it.", ge=-1, le=1)
    )
    kept_slack: float = field(
        default=0.05, metadata=about("AUC of what is taken for noise now may be lower by this much.", ge=0)
    )
    innocent_cap: float = field(default=0.1, metadata=about("Largest mean P of innocent behaviours.", gt=0, le=1))
    clean_cap: float = field(default=0.05, metadata=about("Largest mean P of what nobody suspects.", gt=0, le=1))
    least_gain: float = field(default=0.0, metadata=about("Held-out gain must be above it.", ge=0))
