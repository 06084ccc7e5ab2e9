"""What a fine-tune and the gate can be told. Plain values with bounds; where they come from is the caller's matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from models.errors import SettingError

Target = Literal["influence", "error", "probability"]
Mode = Literal["full", "heads"]
Device = Literal["auto", "cuda", "cpu"]

TARGETS: tuple[Target, ...] = ("influence", "error", "probability")
MODES: tuple[Mode, ...] = ("full", "heads")
DEVICES: tuple[Device, ...] = ("auto", "cuda", "cpu")

SMALLEST_BATCH = 64
"""An out-of-memory halves the batch down to this; below it nothing is gained."""


def _rule(doc: str, rule: str, holds: Callable[[Any], bool]) -> dict[str, Any]:
    return {"doc": doc, "rule": rule, "holds": holds}


def _at_least(least: float) -> tuple[str, Callable[[Any], bool]]:
    return f"at least {least:g}", lambda value: bool(value >= least)


def _between(low: float, high: float) -> tuple[str, Callable[[Any], bool]]:
    return f"between {low:g} and {high:g}", lambda value: bool(low <= value <= high)


def _above(low: float) -> tuple[str, Callable[[Any], bool]]:
    return f"more than {low:g}", lambda value: bool(value > low)


def _one_of(names: tuple[str, ...]) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(names)}", lambda value: value in names


class _Checked:
    """Refuses values that break a field's rule when it is made."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, each.name)
            if "holds" in each.metadata and not each.metadata["holds"](value):
                raise SettingError(f"{each.name} is {value!r}: it must be {each.metadata['rule']}")


@dataclass(frozen=True)
class NetSizes(_Checked):
    """Sizes of the net; bucket 0 of a table stands for an id that is absent."""

    users: int = field(default=1 << 15, metadata=_rule("Buckets of user ids.", *_at_least(2)))
    items: int = field(default=1 << 16, metadata=_rule("Buckets of item ids.", *_at_least(2)))
    categories: int = field(default=1 << 12, metadata=_rule("Buckets of category ids.", *_at_least(2)))
    id_dim: int = field(default=8, metadata=_rule("Numbers per embedded id.", *_between(1, 256)))
    type_dim: int = field(default=4, metadata=_rule("Numbers per embedded event type.", *_between(1, 64)))
    hidden1: int = field(default=256, metadata=_rule("Width of the first hidden layer.", *_between(1, 4096)))
    hidden2: int = field(default=128, metadata=_rule("Width of the second hidden layer.", *_between(1, 4096)))


@dataclass(frozen=True)
class FineTune(_Checked):
    """How a fine-tune goes."""

    shape: NetSizes = field(default_factory=NetSizes)
    seed: int = field(default=0, metadata=_rule("Seed of start values and shuffling.", *_at_least(0)))
    device: Device = field(
        default="auto", metadata=_rule("Where to train; auto takes a GPU where there is one.", *_one_of(DEVICES))
    )
    mode: Mode = field(
        default="full", metadata=_rule("full trains all; heads the last layer over a frozen body.", *_one_of(MODES))
    )
    target: Target = field(default="influence", metadata=_rule("What f(x) learns.", *_one_of(TARGETS)))
    k: float = field(default=1.0, metadata=_rule("Scale of the weight, w = k f / mean f.", *_between(0.5, 10)))
    importance_share: float = field(
        default=1.0, metadata=_rule("Importance loss against prediction loss.", *_at_least(0))
    )
    spread_penalty: float = field(default=0.1, metadata=_rule("Lambda of the penalty mean((w - 1)^2).", *_at_least(0)))
    epochs: int = field(default=6, metadata=_rule("Passes over the training part at most.", *_between(1, 1000)))
    patience: int = field(
        default=2, metadata=_rule("Passes without a better validation loss before stopping.", *_at_least(1))
    )
    batch: int = field(
        default=1024, metadata=_rule("Samples per step; each is seen in both forms.", *_at_least(SMALLEST_BATCH))
    )
    learning_rate: float = field(default=1e-3, metadata=_rule("Adam's step for all but the embeddings.", *_above(0)))
    embedding_rate: float = field(
        default=0.02, metadata=_rule("Row-wise AdaGrad's step for the embeddings.", *_above(0))
    )
    clip_norm: float = field(default=5.0, metadata=_rule("Gradients are scaled down to this norm.", *_above(0)))
    largest_norm: float = field(default=1e4, metadata=_rule("A gradient norm above it ends the fine-tune.", *_above(0)))
    slices: int = field(default=6, metadata=_rule("Time slices of the training part.", *_between(2, 10_000)))
    tuned: bool = field(
        default=True,
        metadata=_rule("bf16, fused optimiser and compiled step on a GPU.", "true or false", lambda _: True),
    )


@dataclass(frozen=True)
class Gate(_Checked):
    """What a candidate must show."""

    k: float = field(default=1.0, metadata=_rule("Scale of the weight, w = k f / mean f.", *_between(0.5, 10)))
    weight_min: float = field(default=1e-3, metadata=_rule("Smallest weight.", *_above(0)))
    weight_max: float = field(default=10.0, metadata=_rule("Largest weight.", *_above(1)))
    nll_slack: float = field(default=0.002, metadata=_rule("NLL may be worse by this share.", *_at_least(0)))
    auc_slack: float = field(default=0.003, metadata=_rule("AUC and GAUC may be lower by this much.", *_at_least(0)))
    calibration_low: float = field(
        default=0.9, metadata=_rule("Least mean probability / positive rate.", *_between(0, 1))
    )
    calibration_high: float = field(
        default=1.1, metadata=_rule("Largest mean probability / positive rate.", *_at_least(1))
    )
    effective_share: float = field(
        default=0.3, metadata=_rule("Least effective sample size as a share of n.", *_between(0, 1))
    )
    min_positives: int = field(
        default=20, metadata=_rule("Positives that the scored part needs for a verdict.", *_at_least(1))
    )
