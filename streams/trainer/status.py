"""The trainer's ``/status.json``: what its metrics and its parts say, summed up for a person."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sie_online.announcements import NET, NOISE, RegisteredModel
from sie_online.settings import Settings
from streams.observe.page.models import ModelStory
from streams.observe.page.state import State
from streams.observe.page.trainer import (
    NoiseFits,
    Passes,
    TrainerFacts,
    TrainerStatus,
    Window,
    trainer_state,
)
from streams.observe.samples import MetricSamples
from streams.trainer.plan import fine_tune_of

ROUNDS = ("fine_tunes", "noise_fits", "priors")
"""What the trainer's metrics count by outcome."""


@dataclass(frozen=True, kw_only=True)
class TrainerParts:
    """What is not in the metrics. ``fine_tune_s``, ``noise_s``: for how long one has run, None between two."""

    announced: Mapping[str, RegisteredModel]
    models: list[ModelStory]
    fresh: int
    fine_tune_s: float | None
    fine_tuned: str | None
    noise_s: float | None
    noise_fitted: str | None
    reason: str
    announcer: bool
    caught_up: bool


def trainer_status(settings: Settings, samples: MetricSamples, parts: TrainerParts) -> TrainerStatus:
    """Sum up a trainer."""
    now, started = time.time(), samples.total("process_start_time_seconds")
    net = parts.announced[NET]
    passes = _passes(settings, samples, parts.fine_tune_s)
    return TrainerStatus(
        state=_state(settings, samples, parts, passes, now),
        code_version=samples.label("sie_build_info", "version"),
        uptime_s=now - started if started else 0.0,
        device=samples.label("sie_trainer_device_info", "device"),
        announcement=net.newest,
        version=net.in_force(net.newest),
        fresh_samples=parts.fresh,
        every_samples=settings.trainer.every_samples,
        fine_tuning=parts.fine_tune_s is not None,
        latest_outcome=parts.fine_tuned,
        passes=passes,
        window=Window(
            recent=int(samples.total("sie_trainer_window_samples", kind="recent")),
            older_positives=int(samples.total("sie_trainer_window_samples", kind="older_positive")),
            span_s=samples.total("sie_trainer_window_seconds"),
        ),
        figures=samples.by("sie_trainer_gate_figures", "figure"),
        noise=_noise(samples, parts),
        outcomes={name: samples.by(f"sie_trainer_{name}_total", "outcome") for name in ROUNDS},
        models=parts.models,
        reason=parts.reason,
        announcer=parts.announcer,
        caught_up=parts.caught_up,
    )


def _passes(settings: Settings, samples: MetricSamples, running_s: float | None) -> Passes:
    return Passes(
        running_s=running_s,
        done=int(samples.total("sie_trainer_fine_tune_pass")),
        of=fine_tune_of(settings).epochs,
        loss=samples.value("sie_trainer_loss"),
        samples_per_s=samples.value("sie_trainer_training_samples_per_second"),
    )


def _noise(samples: MetricSamples, parts: TrainerParts) -> NoiseFits:
    noise = parts.announced[NOISE]
    return NoiseFits(
        announcement=noise.newest,
        version=noise.in_force(noise.newest),
        fitting=parts.noise_s is not None,
        latest_outcome=parts.noise_fitted,
        running_s=parts.noise_s,
        events=int(samples.total("sie_trainer_noise_fit_events")),
        figures=samples.by("sie_trainer_noise_validation", "figure"),
    )


def _state(settings: Settings, samples: MetricSamples, parts: TrainerParts, passes: Passes, now: float) -> State:
    facts = TrainerFacts(
        now=now,
        broker=settings.broker,
        broker_up=samples.value("sie_broker_up") != 0,
        last_answer=samples.value("sie_broker_last_answer_timestamp_seconds") or now,
        announcer=parts.announcer,
        caught_up=parts.caught_up,
        passes=passes,
        noise_running_s=parts.noise_s,
        fresh=parts.fresh,
        every_samples=settings.trainer.every_samples,
        every_s=settings.trainer.every_s,
    )
    return trainer_state(facts)
