"""What fits and gates can be told: ``sie_online.hyperparameters``, and what only models know.

Values out of bounds are refused; where they come from is the caller's matter.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, get_args, get_type_hints

from models.errors import SettingError
from sie_online.hyperparameters import (
    FineTuneSettings,
    GateSettings,
    NetSizeSettings,
    NoiseFitSettings,
    NoiseGateSettings,
    TrainingDevice,
    TrainingMode,
    TrainingTarget,
    about,
)

TrainingWay = Literal["auto", "float32", "autocast", "compiled", "graph"]

TARGETS: tuple[TrainingTarget, ...] = get_args(TrainingTarget)
MODES: tuple[TrainingMode, ...] = get_args(TrainingMode)
DEVICES: tuple[TrainingDevice, ...] = get_args(TrainingDevice)
WAYS: tuple[TrainingWay, ...] = get_args(TrainingWay)

_COMPARISONS = {"ge": operator.ge, "gt": operator.gt, "le": operator.le}


class _Checked:
    """Refuses values that break a field's rule when it is made."""

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for each in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value, names = getattr(self, each.name), get_args(types[each.name])
            bounds = {name: bound for name, bound in each.metadata.items() if name in _COMPARISONS}
            if names and value not in names:
                raise SettingError(f"{each.name} is {value!r}: it must be one of {', '.join(names)}")
            if not all(_COMPARISONS[name](value, bound) for name, bound in bounds.items()):
                raise SettingError(f"{each.name} is {value!r}: it must be {_within(bounds)}")


def _within(bounds: Mapping[str, float]) -> str:
    if "gt" in bounds:
        return f"more than {bounds['gt']}"
    return f"between {bounds['ge']} and {bounds['le']}" if "le" in bounds else f"at least {bounds['ge']}"


@dataclass(frozen=True)
class NetSizes(_Checked, NetSizeSettings):
    """Sizes of the net; bucket 0 of a table stands for an id that is absent."""


@dataclass(frozen=True)
class _Scaled(_Checked):
    k: float = field(default=1.0, metadata=about("Scale of the weight, w = k f / mean f.", ge=0.5, le=10))


@dataclass(frozen=True)
class FineTune(_Scaled, FineTuneSettings):
    """How a fine-tune goes. Each sample of a batch is seen in both forms."""

    shape: NetSizes = field(default_factory=NetSizes)
    embedding_rate: float = field(default=0.02, metadata=about("Row-wise AdaGrad's step for the embeddings.", gt=0))
    clip_norm: float = field(default=5.0, metadata=about("Gradients are scaled down to this norm.", gt=0))
    way: TrainingWay = field(default="auto", metadata=about("How a step runs, see ``ways``."))


@dataclass(frozen=True)
class Gate(_Scaled, GateSettings):
    """What a candidate must show."""

    weight_min: float = field(default=1e-3, metadata=about("Smallest weight.", gt=0))
    weight_max: float = field(default=10.0, metadata=about("Largest weight.", gt=1))


@dataclass(frozen=True)
class NoiseFit(_Checked, NoiseFitSettings):
    """How a fit of the noise model goes."""


@dataclass(frozen=True)
class NoiseGate(_Checked, NoiseGateSettings):
    """What a noise model must show before it is announced."""
