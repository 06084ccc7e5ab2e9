"""When state and log disagree, going on would guess: refuse, in a sentence that names the flag which decides.

Pure functions of what was found. ``outputs`` finds what was published; when, and all else, is the worker's.
"""

from __future__ import annotations

from dataclasses import dataclass

from sie_online.contracts import CODE_VERSION
from sie_online.errors import DecisionError
from sie_online.settings import Settings
from sie_online.shard import Layout
from streams.checkpoint.manifest import REPROCESS
from streams.checkpoint.outputs import Published
from streams.checkpoint.store import LoadedCheckpoint
from streams.topic_ids import is_another_topic


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a person has decided beforehand, one flag of ``sie worker`` each."""

    accept_changed_settings: bool = False
    accept_repartition: bool = False
    accept_gap: bool = False
    fresh: bool = False
    accept_new_topic: bool = False


def check_restore(
    loaded: LoadedCheckpoint | None,
    settings: Settings,
    layout: Layout,
    *,
    begin_offset: int,
    end_offset: int,
    committed: int | None,
    n_partitions: int,
    overrides: Overrides,
) -> int:
    """The offset from which a shard goes on: the checkpoint's, unless an accepted gap or a fresh start moves it.

    Args:
        loaded: the shard's checkpoint, None if it has none.
        layout: what this code reads and writes under ``settings``.
        begin_offset: first offset that the log still holds.
        end_offset: the one after its last.
        committed: the group's committed offset, None if it has none.
        n_partitions: of the input topic, now.

    Raises:
        DecisionError: state and log disagree and ``overrides`` does not say what to do.
    """
    if loaded is None:
        check_empty_store(committed, settings, accepted=overrides.fresh)
        return begin_offset
    check_fingerprint(loaded, settings.fingerprint(), accepted=overrides.accept_changed_settings)
    check_layout(loaded, layout, accepted=overrides.accept_changed_settings)
    check_partitions(loaded, n_partitions, accepted=overrides.accept_repartition)
    return check_log(loaded, begin_offset, end_offset, accepted=overrides.accept_gap)


def of_this_topic(loaded: LoadedCheckpoint | None, topic_id: str, *, accepted: bool) -> LoadedCheckpoint | None:
    """``loaded``; None if it is about a former topic of the same name, and a person has decided to leave it behind.

    ``topic_id`` is Kafka's, of the topic that is there now. Where either is unknown (empty), nothing is compared.

    Raises:
        DecisionError: the topic was deleted and made again.
    """
    if loaded is None or not is_another_topic(loaded.topic_id, topic_id):
        return loaded
    if accepted:
        return None
    raise DecisionError(
        f"the checkpoint at offset {loaded.next_offset} is about a topic with the id {loaded.topic_id}, and the one"
        f" there now has {topic_id}: {MADE_ANEW}"
    )


MADE_ANEW = (
    "it was deleted and made again, and what the state says of the old log is not true of the new one. Begin with it"
    " anew, publishing above every generation there is, with --accept-new-topic; rows are known by their offset, so"
    " give the new log output topics of its own, or make those anew, too"
)


def check_fingerprint(loaded: LoadedCheckpoint, fingerprint: str, *, accepted: bool) -> None:
    """Refuse to continue, under other settings, a state that decides what rows say."""
    if loaded.fingerprint == fingerprint or accepted:
        return
    raise DecisionError(
        f"the checkpoint at offset {loaded.next_offset} was made under other settings (fingerprint"
        f" {loaded.fingerprint[:12]}, now {fingerprint[:12]}): rows from here on would differ from a replay's. Put the"
        " settings back ('sie config show'), or go on with --accept-changed-settings"
    )


def check_layout(loaded: LoadedCheckpoint, layout: Layout, *, accepted: bool) -> None:
    """Refuse bytes that would be misread, whatever a person has decided; and, unless ``accepted``, a state that was
    learned with hyper-parameters, or from a default noise model, other than those of this version.
    """
    saved, at = Layout.named_by(loaded.meta), f"the checkpoint at offset {loaded.next_offset}"
    if unreadable := layout.unreadable(saved):
        raise DecisionError(
            f"{at}, written by version {loaded.code_version}, has other records than this version, {CODE_VERSION}, has"
            f" under these settings: {', '.join(unreadable)}. Read as ours, each number would be another's. Go back to"
            f" that version and its settings, or {REPROCESS}"
        )
    if saved.parameters != layout.parameters and not accepted:
        raise DecisionError(
            f"{at} was learned with the hyper-parameters and the default noise model of version {loaded.code_version},"
            f" and this version, {CODE_VERSION}, has others: rows from here on would differ from a replay's. Go back to"
            " that version, or go on with --accept-changed-settings"
        )


def check_partitions(loaded: LoadedCheckpoint, n_partitions: int, *, accepted: bool) -> None:
    """Refuse when users may have moved to another partition, away from their open views."""
    if loaded.input_partitions == n_partitions or accepted:
        return
    raise DecisionError(
        f"the input topic had {loaded.input_partitions} partitions when the checkpoint was made and has {n_partitions}"
        " now: users have moved to other shards, and the views they left open settle as negatives. Go on with"
        " --accept-repartition"
    )


def check_log(loaded: LoadedCheckpoint, begin_offset: int, end_offset: int, *, accepted: bool) -> int:
    """Where to go on in the log; refuse when it cannot be where the checkpoint ends.

    With ``accepted``: at the log's begin if the records between are gone, at its end if the checkpoint lies beyond it
    (what the log holds was processed before the log lost its tail, and is not processed twice).
    """
    at = loaded.next_offset
    if begin_offset <= at <= end_offset:
        return at
    if accepted:
        return min(max(at, begin_offset), end_offset)
    if at < begin_offset:
        raise DecisionError(
            f"the checkpoint ends at offset {at} and the log begins at {begin_offset}: retention has deleted"
            f" {begin_offset - at} offsets that were never processed. Go on behind the gap with --accept-gap"
        )
    raise DecisionError(
        f"the checkpoint ends at offset {at} and the log at {end_offset}: the log has lost its tail, or the topic was"
        " made anew. Go on at the log's end with --accept-gap; for a new topic, move the checkpoints away and start"
        " with --fresh"
    )


def check_empty_store(committed: int | None, settings: Settings, *, accepted: bool) -> None:
    """Refuse to begin at nothing where this group has already processed something."""
    if committed is None or accepted:
        return
    raise DecisionError(
        f"group {settings.group!r} has committed offset {committed}, but {settings.store} holds no checkpoint of it: is"
        " this the right store (SIE_STORE), and is its disk mounted? Start anew from the log's begin, publishing above"
        " the highest generation there is, with --fresh"
    )


def check_published(newest: Published, partition: int, epoch: int, settings: Settings, *, accepted: bool) -> bool:
    """Whether ``newest``, the newest rows of ``partition``, are another's, but publishing above them is ``accepted``.

    A group's own rows never exceed ``epoch``, the newest claim in its store. Rows of another group, or of another store
    of the same, are above it, or beside it where both began at nothing.

    Raises:
        DecisionError: they are another's, and nobody has decided to replace them.
    """
    is_other = newest.group not in ("", settings.group)
    if newest.generation < epoch or (newest.generation == epoch and not is_other):
        return False
    if accepted:
        return True
    by = f"group {newest.group!r}" if newest.group else "another version"
    raise DecisionError(
        f"{newest.topic}[{partition}] holds rows of generation {newest.generation}, published by {by}, and group"
        f" {settings.group!r} has come to generation {epoch} in {settings.store}: readers keep the highest generation"
        " of an event, and would mix what two of them say. Give this group output topics of its own"
        f" (SIE_TOPICS__PREFIX={settings.group}. makes all their names); or, to replace those rows, stop whoever"
        " publishes them and start, with --fresh, a group of which the store holds nothing (docs/operating.md,"
        " 'Reprocess everything')"
    )


def check_replacement(newest: Published, settings: Settings, members: int) -> None:
    """Refuse to publish above the rows of a group that still publishes, or that had other settings.

    Readers keep an event's highest revision, and of that the highest generation. Under other settings an event may have
    fewer revisions, and its last one would then be the other group's for ever.

    Raises:
        DecisionError: the group has ``members``, or its fingerprint is another.
    """
    own_topics = f"give this group output topics of its own (SIE_TOPICS__PREFIX={settings.group}.)"
    if newest.fingerprint not in ("", settings.fingerprint()):
        raise DecisionError(
            f"{newest.topic} holds rows that group {newest.group!r} published under other settings (fingerprint"
            f" {newest.fingerprint[:12]}, now {settings.fingerprint()[:12]}): rows of both would be mixed by every"
            f" reader. Put the settings back, or {own_topics}"
        )
    if members:
        raise DecisionError(
            f"{newest.topic} holds rows of group {newest.group!r}, which still has {members} consumers: rows of"
            f" two groups that publish at once would be mixed by every reader. Stop its workers first, or {own_topics}"
        )
