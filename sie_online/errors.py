"""The exception tree. Every error names what it is about and carries the exit code an operator's script sees.

| code | meaning |
|---|---|
| 2 | wrong use, settings or topics: mend the call |
| 3 | broker or store unreachable, away or full, at the start or later: try again |
| 70 | our own fault: restart |
| 78 | state and log disagree, or a state cannot be read: a person decides |
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


class AccessError(UsageError):
    """The brokers do not allow something; the message names every missing ACL, with the line that adds it."""


class MessageError(SieError):
    """A message of one of our topics is not what its contract says; the message names topic, partition and offset."""

    exit_code = 2


class UnreachableError(SieError):
    """The broker or the store does not answer, is full, or fails us; the message says which and where."""

    exit_code = 3


class CheckpointError(SieError):
    """A snapshot is not fit to be written, or one checkpoint is damaged; while another can be read, that is the way."""


class StaleEpochError(SieError):
    """Another owner has claimed a newer epoch of this shard: this one must stop publishing."""


class DecisionError(SieError):
    """State and log disagree, or no state can be read; going on would guess. The message says what a person can do."""

    exit_code = 78
