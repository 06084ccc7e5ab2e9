"""What was found in a source, told to people: dead letters with their places, and what disorder does to labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from sie_online.escape import safe
from sie_online.evaluation.inspection import SourceFindings
from sie_online.moments import span
from sie_online.settings import Settings
from streams.cli.common import err


def flat(document: dict[str, Any]) -> dict[str, Any]:
    """A report or a result as a document, in which ``source``, its findings, is no level of its own."""
    source: dict[str, Any] = document.pop("source")
    return document | source


def dead_letters(found: SourceFindings) -> Text:
    """Dead letters by reason, each with its first examples; empty where there are none."""
    return Text("\n".join(_lines(found)))


def _lines(found: SourceFindings) -> Iterator[str]:
    for reason, count in sorted(found.dead_letters_by_reason.items()):
        examples = found.dead_letter_examples[reason]
        yield f"{reason}: {count:,}" + (", the first:" if count > len(examples) else "")
        yield from (f"  {safe(one.place)}: {safe(one.detail)}" for one in examples)


def warn_disorder(found: SourceFindings, settings: Settings) -> None:
    """Say, if events came late, how many and what that does to labels."""
    if note := disorder(found, settings):
        err.print(note, soft_wrap=True)


def disorder(found: SourceFindings, settings: Settings) -> str:
    """A note on events that came late, and the way out; empty where none did.

    A view is settled when the clock has passed its window and ``labels.lateness_s``; a conversion or return that comes
    after that changes nothing. A late view itself waits for what follows it, and meets a conversion that came first.
    """
    if not found.late_events:
        return ""
    labels = settings.labels
    late = f"Note: late events: {found.late_events:,}, by up to {span(found.disorder_ms)}"
    if not found.late_conversions:
        return f"{late}; no conversion or return is among them, so no label suffers."
    return (
        f"{late}, among them conversions and returns: {found.late_conversions:,}. One that comes after its view was "
        f"settled, {span(labels.settles_after_ms)} after it by the clock, changes nothing: for "
        "want of a purchase the view has label 0. Put the events in order of time (--sort), or raise labels.lateness_s "
        f"(now {span(labels.lateness_ms)}) to as much."
    )
