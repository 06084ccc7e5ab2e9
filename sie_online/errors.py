"""The exception tree. Every error names what it is about and carries the exit code an operator's script sees.

| code | meaning |
|---|---|
| 2 | wrong use, settings or topics: mend the call |
| 3 | broker or store unreachable: try again |
| 70 | our own fault: restart |
| 78 | state and log disagree: a person decides |
"""

from __future__ import annotations

from typing import ClassVar


class SieError(Exception):
    """Root of every error this project raises on purpose."""

    exit_code: ClassVar[int] = 70


class UsageError(SieError):
    """A wrong argument, file, setting or missing extra; the message says how to mend it."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is refused; the message names it."""


class TopicError(UsageError):
    """A topic is missing or has the wrong shape; the message carries the ``sie topics create`` line."""


class MessageError(SieError):
    """A message of one of our topics is not what its contract says; the message names topic, partition and offset."""

    exit_code = 2


class UnreachableError(SieError):
    """The broker or the store does not answer."""

    exit_code = 3


class CheckpointError(SieError):
    """A checkpoint could not be written, or none of the kept ones can be read."""


class StaleEpochError(SieError):
    """Another owner has claimed a newer epoch of this shard: this one must stop publishing."""


class DecisionError(SieError):
    """State and log disagree; going on would guess. The message names the flag that decides."""

    exit_code = 78
