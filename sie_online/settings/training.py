"""The process that fine-tunes the importance net, and what becomes of the nets: nothing here changes a published row by
itself.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sie_online.settings.section import Section


class NetShape(Section):
    """Sizes of the importance net; a change starts the next fine-tune from nothing."""

    users: int = Field(1 << 15, ge=2, le=1 << 24, description="Buckets of user ids.")
    items: int = Field(1 << 16, ge=2, le=1 << 24, description="Buckets of item ids.")
    categories: int = Field(1 << 12, ge=2, le=1 << 24, description="Buckets of category ids.")
    id_dim: int = Field(8, ge=1, le=256, description="Numbers per embedded id.")
    type_dim: int = Field(4, ge=1, le=64, description="Numbers per embedded event type.")
    hidden1: int = Field(256, ge=1, le=4096, description="Width of the first hidden layer.")
    hidden2: int = Field(128, ge=1, le=4096, description="Width of the second hidden layer.")


class FineTuning(Section):
    """How a fine-tune goes."""

    device: Literal["auto", "cuda", "cpu"] = Field("auto", description="Where; auto takes a GPU where there is one.")
    mode: Literal["full", "heads"] = Field(
        "full", description="full trains all; heads the last layer over a frozen body, once there is a net."
    )
    target: Literal["influence", "error", "probability"] = Field("influence", description="What f(x) learns.")
    epochs: int = Field(6, ge=1, le=1000, description="Passes over the training part at most.")
    patience: int = Field(2, ge=1, description="Passes without a better validation loss before stopping.")
    batch: int = Field(1024, ge=64, description="Samples per step; halved where device memory runs out.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step for all but the embeddings.")
    importance_share: float = Field(1.0, ge=0, description="Importance loss against prediction loss.")
    spread_penalty: float = Field(0.1, ge=0, description="Lambda of the penalty mean((w - 1)^2).")
    largest_norm: float = Field(1e4, gt=0, description="A gradient norm above it ends the fine-tune.")
    slices: int = Field(6, ge=2, le=10_000, description="Time slices of the training part.")
    seed: int = Field(0, ge=0, description="Seed of start values, shuffling and the window's reservoir.")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of torch; 0: torch decides.")
    longest_s: float = Field(3_600.0, gt=0, description="A fine-tune that takes longer is given up.")


class NetGate(Section):
    """What a candidate must show, against uniform weights and the net in force, before it is announced."""

    nll_slack: float = Field(0.002, ge=0, description="NLL may be worse by this share.")
    auc_slack: float = Field(0.003, ge=0, description="AUC and GAUC may be lower by this much.")
    calibration_low: float = Field(0.9, ge=0, le=1, description="Least mean probability / positive rate.")
    calibration_high: float = Field(1.1, ge=1, description="Largest mean probability / positive rate.")
    effective_share: float = Field(0.3, ge=0, le=1, description="Least effective sample size as a share of n.")
    min_positives: int = Field(20, ge=1, description="Positives that the scored part needs for a verdict.")


class PriorsPooling(Section):
    """When what the partitions have learned is put together for all of them, and what it must show first."""

    enabled: bool = Field(True, description="Whether it is; a single partition has nothing to share.")
    every_events: int = Field(1_000, ge=1, description="Not before this many more events of all partitions ...")
    growth: float = Field(0.1, ge=0, description="... and this share more than last time, but see longest_s.")
    longest_s: float = Field(3_600.0, gt=0, description="After so many seconds every_events alone are enough.")
    judge_samples: int = Field(20_000, ge=10, description="Newest settled samples that it is judged by.")
    min_positives: int = Field(20, ge=1, description="Positives among them that a verdict needs.")
    nll_slack: float = Field(0.002, ge=0, description="NLL may be worse than published by this share ...")
    held_out_slack: float = Field(
        0.05, ge=0, description="... and where it is held out, than the rate of positives alone, known in hindsight."
    )


class TrainerWeb(Section):
    """The trainer's own site: /healthz, /readyz, /metrics."""

    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless told otherwise.")
    port: int = Field(8081, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Names, beside addresses and this machine's own, under which a browser may ask for it."
    )


class Trainer(Section):
    """The process that fine-tunes the importance net. Nothing here changes a published row by itself."""

    every_samples: int = Field(50_000, ge=1, description="Fine-tune after this many newly settled samples ...")
    every_s: float = Field(900.0, gt=0, description="... or after this many seconds, if there are new ones.")
    min_samples: int = Field(5_000, ge=10, description="Fewer samples in the window are not trained on.")
    window_samples: int = Field(500_000, ge=10, description="Newest samples in the replay window.")
    window_age_s: float = Field(
        604_800.0, gt=0, description="How much older than the newest event they may be, event time."
    )
    window_positives: int = Field(50_000, ge=0, description="Reservoir of positives from before the window.")
    ahead_s: float = Field(10.0, gt=0, description="A version applies from what the log will hold in so many seconds.")
    nice: int = Field(10, ge=0, le=19, description="How far a worker's trainer stands back for it (niceness).")
    shape: NetShape = Field(default_factory=lambda: NetShape())
    fine_tune: FineTuning = Field(default_factory=lambda: FineTuning())
    gate: NetGate = Field(default_factory=lambda: NetGate())
    priors: PriorsPooling = Field(default_factory=lambda: PriorsPooling())
    web: TrainerWeb = Field(default_factory=lambda: TrainerWeb())

    @model_validator(mode="after")
    def _check(self) -> Trainer:
        if self.min_samples > self.window_samples:
            raise ValueError("window_samples must be at least min_samples, or nothing is ever trained")
        return self


class Models(Section):
    """Artifacts of the importance net in the store."""

    keep: int = Field(
        10, ge=1, description="Versions kept beyond those that the log may still need; as many refused ones."
    )
