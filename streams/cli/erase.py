"""``sie erase``: forget users, or see what still holds them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sie_online.errors import DecisionError, UsageError
from sie_online.settings import Settings
from streams.cli.common import Json, err, get_settings, out, print_json
from streams.cli.progress import progress
from streams.store import open_store
from streams.tools.erase import Subject, Trace, erase, kept_hours, look_for, subjects


def command(
    ctx: typer.Context,
    user: Annotated[
        list[str] | None, typer.Option("--user", metavar="ID", help="As producers write it; may be repeated.")
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="One id per line, in UTF-8.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Erase nothing; tell what still holds them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Have every shard forget users, for good: a record in the log, which every replay meets again.

    Workers forget them when they come to the record: entity, pairs and interests; open views get a last statement
    without label and user id; the statement on sie.entities.v1 and the list on sie.recs.v1 are taken back. The
    checkpoint after it holds nothing of them, and one more checkpoint later no file of the store does ('--check'
    looks). What had been published, and the events themselves, stay until the retention of their topics; what a model
    has learned from many users stays. Events that come after the record begin a new user.

    Ends with 0 where the record is written, or, with --check, where nothing holds them; 78 where something does.

    [bold]Examples[/bold]
      sie erase --user 4711
      sie erase --file ids.txt --yes --json
      sie erase --check --user 4711
    """
    settings = get_settings(ctx)
    users = subjects(settings, [*(user or ()), *_listed(file)])
    if not users:
        raise UsageError("name who is to be forgotten: --user ID, or --file FILE")
    if check:
        _check(settings, users, as_json)
    else:
        _erase(settings, users, yes, as_json)


def _listed(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return [line for line in file.read_text("utf-8").splitlines() if line]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--file {file} cannot be read: {error}") from None


def _erase(settings: Settings, users: Sequence[Subject], yes: bool, as_json: bool) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("this cannot be taken back: say --yes where nobody can be asked")
        typer.confirm(f"Forget {len(users)} user(s) for good?", abort=True, err=True)
    with progress("Erase", "users") as advance:
        partitions = asyncio.run(erase(settings, users, advance))
    kept = asyncio.run(kept_hours(settings))
    if as_json:
        documents = [{"user_id": one.user_id, "published_id": one.published_id} for one in users]
        print_json({"erased": documents, "partitions": partitions, "kept_hours": kept})
        return
    out.print(f"{len(users)} user(s): told all {partitions} partitions of {settings.topics.events}", soft_wrap=True)
    for topic, hours in kept.items():
        time = "for ever" if hours is None else f"for up to {hours:g} h"
        out.print(f"  {topic} keeps what was written before {time}", soft_wrap=True)
    err.print("See what still holds them with 'sie erase --check'.", style="dim")


def _check(settings: Settings, users: Sequence[Subject], as_json: bool) -> None:
    traces = asyncio.run(look_for(settings, open_store(settings.store), users))
    held = [trace for trace in traces if trace.held]
    if as_json:
        print_json([asdict(trace) | {"held": trace.held} for trace in traces])
    for trace in () if as_json else traces:
        _show(trace, settings)
    if held:
        raise DecisionError(f"{len(held)} of {len(traces)} user(s) are still held")


def _show(trace: Trace, settings: Settings) -> None:
    out.print(f"{trace.user_id}: {'still held' if trace.held else 'not held'}", soft_wrap=True)
    if trace.stated:
        out.print(f"  a statement on {settings.topics.entities}", soft_wrap=True)
    if trace.recommended:
        out.print(f"  a list on {settings.topics.recs}", soft_wrap=True)
    for shard, packs in trace.packs.items():
        out.print(f"  {packs} file(s) of the checkpoints {shard}", soft_wrap=True)
