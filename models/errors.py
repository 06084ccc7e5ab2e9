"""What can go wrong with a model; each message says what to mend."""

from __future__ import annotations


class ModelError(Exception):
    """Root of every error this package raises on purpose."""


class SampleError(ModelError):
    """A samples table is not what the contract says; the message names the column."""


class ManifestError(ModelError):
    """A manifest cannot be read; the message names the field."""


class ArtifactError(ModelError):
    """An artifact is not what its manifest says, or its tensors are no such model."""


class SettingError(ModelError):
    """A setting of training or gate is refused; the message names it."""


class TrainingError(ModelError):
    """A fine-tune was given up; the model in force stays as it is."""


class ExamplesError(TrainingError, ValueError):
    """Examples of noise are not what they must be, or nothing can be learned from them."""


class NotFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""


class ExplodingNormError(TrainingError):
    """The gradient's norm became larger than any that training recovers from."""


class OutOfMemoryError(TrainingError):
    """Even the smallest batch does not fit the device."""


class StoppedError(TrainingError):
    """The caller asked to stop; nothing was written."""
