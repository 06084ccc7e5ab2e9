"""What a trainer's page says: its state as a sentence, and the document that it is drawn of."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from streams.observe.page.models import ModelStory
from streams.observe.page.state import State, lasting, outage

DOCUMENT_BYTES = 1 << 18
"""A trainer's document is not read any further by the worker beside it."""


class Passes(msgspec.Struct, frozen=True):
    """The latest fine-tune, or the one at work: passes done of those there are at most, loss of the last one.

    ``running_s``: since when it has run; None between two.
    """

    running_s: float | None = None
    done: int = 0
    of: int = 0
    loss: float | None = None
    samples_per_s: float | None = None


class NoiseFits(msgspec.Struct, frozen=True):
    """The noise model: what is announced, and the fit at work, ``running_s`` as in ``Passes``."""

    announcement: int
    version: str
    fitting: bool
    latest_outcome: str | None
    running_s: float | None
    events: int
    figures: dict[str, float]


class Window(msgspec.Struct, frozen=True):
    """The samples that a fine-tune sees; ``span_s`` in event time."""

    recent: int
    older_positives: int
    span_s: float


class TrainerStatus(msgspec.Struct, frozen=True):
    """``/status.json`` of a trainer. ``outcomes``: how many fine-tunes, priors and noise fits ended how."""

    state: State
    code_version: str
    uptime_s: float
    device: str
    announcement: int
    version: str
    fresh_samples: int
    every_samples: int
    fine_tuning: bool
    latest_outcome: str | None
    passes: Passes
    window: Window
    figures: dict[str, float]
    noise: NoiseFits
    outcomes: dict[str, dict[str, float]]
    models: list[ModelStory]
    reason: str
    announcer: bool
    caught_up: bool


class TrainerBeside(msgspec.Struct, frozen=True):
    """What the page of a worker says of the trainer that it has started; ``port`` is that of its site, 0: not known."""

    port: int
    state: State
    device: str = ""
    restarts: int = 0


class Told(msgspec.Struct, frozen=True):
    """As much of a trainer's document as is repeated elsewhere."""

    state: State
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainerFacts:
    """What a trainer's state follows from; times in s since 1970, ``every_s`` in s."""

    now: float
    broker: str
    broker_up: bool = True
    last_answer: float = 0.0
    announcer: bool = True
    caught_up: bool = True
    passes: Passes = field(default_factory=Passes)
    noise_running_s: float | None = None
    fresh: int = 0
    every_samples: int = 1
    every_s: float = 0.0


def trainer_state(facts: TrainerFacts) -> State:
    """The first of all there is to say that matters now."""
    if not facts.broker_up:
        return outage(facts.broker, facts.last_answer, facts.now)
    if not facts.announcer:
        return State("starting", "busy", "Starting: reading what was announced.")
    if not facts.caught_up:
        advice = "Workers go on with the models in force meanwhile."
        return State("reading", "busy", "Reading the settled samples that there are.", advice)
    work = "; ".join([*_fine_tune(facts), *_noise_fit(facts)])
    if work:
        advice = "What passes its gate is announced, and workers adopt it."
        return State("training", "busy", f"{work[0].upper()}{work[1:]}.", advice)
    return State("waiting", "good", _waiting(facts), "A fine-tune needs new settled samples.")


def _fine_tune(facts: TrainerFacts) -> list[str]:
    passes = facts.passes
    if passes.running_s is None:
        return []
    loss = "" if passes.loss is None or not passes.done else f", loss {passes.loss:.4f}"
    return [f"fine-tuning for {lasting(passes.running_s)}: {passes.done} of {passes.of} passes done{loss}"]


def _noise_fit(facts: TrainerFacts) -> list[str]:
    if facts.noise_running_s is None:
        return []
    return [f"fitting the noise model for {lasting(facts.noise_running_s)}"]


def _waiting(facts: TrainerFacts) -> str:
    if not facts.fresh:
        return "Nothing to do: no samples have settled since the last fine-tune."
    due = f"the next comes at {facts.every_samples:,}, or {lasting(facts.every_s)} after the last"
    return f"Waiting: {facts.fresh:,} new samples since the last fine-tune; {due}."
