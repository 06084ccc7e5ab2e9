"""What becomes of a judged candidate of any model: announced, or kept for a look and never announced.

The same beside a stream, beside an evaluation and for a file; where an announcement goes is its ``Announcing``'s.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from models.errors import ExplodingNormError, ModelError, NotFiniteLossError, OutOfMemoryError, StoppedError
from models.manifest import Manifest, Verdict
from models.snapshot import Contents
from sie_online.announcements import Announcement
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import CheckpointError, DecisionError, UnreachableError
from streams.model_registry import artifacts
from streams.model_registry.announcer import OvertakenError, SupersededError
from streams.store import Store
from streams.threads import in_thread
from streams.trainer.metrics import TrainingOutcome

log = logging.getLogger(__name__)

NOT_JUDGED = Verdict(False, ("it was not judged",))
GIVEN_UP: dict[type[ModelError], TrainingOutcome] = {
    NotFiniteLossError: TrainingOutcome.NOT_FINITE,
    ExplodingNormError: TrainingOutcome.EXPLODING_NORM,
    OutOfMemoryError: TrainingOutcome.OUT_OF_MEMORY,
    StoppedError: TrainingOutcome.TOO_LONG,
}


class Announcing(Protocol):
    """Where announcements go: onto the models topic, or into the files of an evaluation.

    ``judged_at`` is the number of the announcement in force when it was decided; OvertakenError where there is a newer.
    """

    async def publish(self, data: bytes, manifest: Manifest, *, judged_at: int) -> Announcement:
        """Keep a version and announce it."""
        ...

    async def rollback(self, version: str, *, model: str, judged_at: int) -> Announcement:
        """Announce a version of ``model`` that was announced before, or the built-in one."""
        ...


class Settled(NamedTuple):
    """What became of a candidate: accepted or refused, and the announcement that followed from it, if any."""

    outcome: TrainingOutcome
    announcement: Announcement | None


def verdict_of(manifest: Manifest) -> Verdict:
    """The gate's, without which nothing passes."""
    return manifest.gate or NOT_JUDGED


async def settle(
    contents: Contents,
    manifest: Manifest,
    announcing: Announcing,
    store: Store,
    *,
    judged_at: int,
    withdrawn: tuple[str, ...] = (),
) -> Settled:
    """Announce a candidate that passed; keep one that did not.

    ``withdrawn`` is why, beside one that did not, the version in force must not stay: the built-in one is announced.

    Raises:
        OvertakenError: another announcement was made since ``judged_at``. UnreachableError: it cannot be kept or said.
    """
    if verdict_of(manifest).passed:
        return Settled(TrainingOutcome.ACCEPTED, await announcing.publish(contents.data, manifest, judged_at=judged_at))
    await in_thread(None, artifacts.keep, store, contents.data, manifest)
    if not withdrawn:
        return Settled(TrainingOutcome.REFUSED, None)
    announcement = await announcing.rollback(BUILTIN_MODEL, model=manifest.model, judged_at=judged_at)
    return Settled(TrainingOutcome.REFUSED, announcement)


def given_up(error: ModelError) -> TrainingOutcome:
    """What became of a fine-tune that brought no candidate forth."""
    return GIVEN_UP.get(type(error), TrainingOutcome.UNFIT)


async def outcome_of(
    attempt: Awaitable[TrainingOutcome | None], nothing: str, *, stopping: Callable[[], bool] = lambda: False
) -> TrainingOutcome | None:
    """What became of an attempt beside the fine-tunes, whatever failed in it; None: none was due.

    Args:
        attempt: looks whether one is due, makes and settles it.
        nothing: what the log says of a failed one: what was not made, and what stays in force.
        stopping: whether the trainer is being stopped.

    Raises:
        SupersededError: another trainer has begun.
    """
    try:
        return await attempt
    except SupersededError:
        raise
    except OvertakenError as error:
        log.warning("%s", error)
        return TrainingOutcome.OVERTAKEN
    except ModelError as error:
        log.warning("%s: %s", nothing, error)
        return TrainingOutcome.STOPPED if isinstance(error, StoppedError) and stopping() else given_up(error)
    except (UnreachableError, CheckpointError, DecisionError) as error:
        log.warning("%s: %s", nothing, error)
        return TrainingOutcome.UNREACHABLE
    except MemoryError as error:
        log.warning("%s, for want of memory: %s", nothing, error)
        return TrainingOutcome.OUT_OF_MEMORY
    except Exception:  # whatever it is: workers have what is in force, and we try again
        log.exception("%s", nothing)
        return TrainingOutcome.FAULT
