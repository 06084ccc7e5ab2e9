"""The process that fits the noise model and fine-tunes the importance net, and what becomes of both: nothing here
changes a published row by itself.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from sie_online.hyperparameters import (
    FineTuneSettings,
    GateSettings,
    NetSizeSettings,
    NoiseFitSettings,
    NoiseGateSettings,
)
from sie_online.settings.section import Section, settings_of


@settings_of(NetSizeSettings)
class NetShape(Section):
    """Sizes of the importance net; a change starts the next fine-tune from nothing."""


@settings_of(FineTuneSettings)
class FineTuning(Section):
    """How a fine-tune goes."""

    threads: int = Field(0, ge=0, le=1024, description="CPU threads of torch; 0: torch decides.")
    longest_s: float = Field(3_600.0, gt=0, description="A fine-tune that takes longer is given up.")


@settings_of(GateSettings)
class NetGate(Section):
    """What a candidate must show, against uniform importance and the net in force, before it is announced."""


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


@settings_of(NoiseFitSettings)
class NoiseFitting(Section):
    """How a fit of the noise model goes."""


@settings_of(NoiseGateSettings)
class NoiseVerdict(Section):
    """What a noise model must show on behaviours of families that it was not fitted on, before it is announced."""


class NoiseRounds(Section):
    """When the noise model is fitted on the shop's own log, and on how much of it."""

    enabled: bool = Field(True, description="Whether it is; else the default that is part of the package serves.")
    min_events: int = Field(10_000, ge=1_000, description="Events that a first fit needs.")
    growth: float = Field(
        1.0, ge=0.1, description="Fitted anew when so many times the events of the last fit have come since ..."
    )
    every_s: float = Field(
        86_400.0, gt=0, description="... or after so many seconds, if min_events have; counts for nothing offline."
    )
    longest_s: float = Field(3_600.0, gt=0, description="A fit that takes longer is given up.")
    window_events: int = Field(200_000, ge=1_000, description="Newest events that it is fitted on.")
    mixture_events: int = Field(
        60_000, ge=1_000, description="Newest of them into which one mixture of random behaviours goes."
    )
    mixtures: int = Field(48, ge=3, le=1_000, description="Mixtures of a fit.")
    examples: int = Field(300_000, ge=1_000, description="Events of all mixtures that a fit sees.")
    fit: NoiseFitting = Field(default_factory=lambda: NoiseFitting())
    gate: NoiseVerdict = Field(default_factory=lambda: NoiseVerdict())


class TrainerWeb(Section):
    """The trainer's own site: its page, /healthz, /readyz, /metrics."""

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
    noise: NoiseRounds = Field(default_factory=lambda: NoiseRounds())
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
