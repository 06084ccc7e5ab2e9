"""From the deployment's settings to what fits, gates and the window are told. Needs no torch."""

from __future__ import annotations

from models.settings import FineTune, Gate, NetSizes, NoiseFit, NoiseGate
from models.window import Window
from sie_online.settings import Settings
from sie_online.settings.training import NoiseRounds


def fine_tune_of(settings: Settings) -> FineTune:
    """How a fine-tune goes."""
    given = settings.trainer.fine_tune.model_dump(exclude={"threads", "longest_s"})
    return FineTune(shape=NetSizes(**settings.trainer.shape.model_dump()), k=settings.importance.k, **given)


def gate_of(settings: Settings) -> Gate:
    """What a candidate must show; the weight's scale and bounds are those of published weights."""
    importance = settings.importance
    return Gate(
        k=importance.k,
        weight_min=importance.weight_min,
        weight_max=importance.weight_max,
        **settings.trainer.gate.model_dump(),
    )


def noise_fit_of(settings: Settings) -> NoiseFit:
    """How a fit of the noise model goes."""
    return NoiseFit(**settings.trainer.noise.fit.model_dump())


def noise_gate_of(settings: Settings) -> NoiseGate:
    """What a noise model must show."""
    return NoiseGate(**settings.trainer.noise.gate.model_dump())


def noise_is_due(rules: NoiseRounds, heard: int, fitted_at: int, waited_s: float = 0.0) -> bool:
    """Whether to fit: ``heard`` events there have been, ``fitted_at`` when it was last done, ``waited_s`` ago."""
    fresh = heard - fitted_at
    if not fitted_at:
        return heard >= rules.min_events
    return fresh >= rules.growth * fitted_at or (waited_s >= rules.every_s and fresh >= rules.min_events)


def window_of(settings: Settings) -> Window:
    """An empty replay window."""
    trainer = settings.trainer
    return Window(
        max_samples=trainer.window_samples,
        max_age_ms=max(1, round(trainer.window_age_s * 1000)),
        max_older_positives=trainer.window_positives,
        seed=fine_tune_of(settings).seed,
    )


def reach_ms(settings: Settings) -> int:
    """How far before the newest settled sample's publication those of the window may have been published."""
    return round(settings.trainer.window_age_s * 1000) + settings.labels.settles_after_ms
