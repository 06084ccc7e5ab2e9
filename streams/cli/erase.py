"""``sie erase``: forget users, or see what still holds them; in shards and topics, or in the tables of a lake."""

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
from streams.lake import erasing
from streams.lake.erasing import TableTrace
from streams.lake.places import Place
from streams.store import open_store
from streams.tools.erase import Subject, Trace, erase, kept_hours, look_for, subjects


def command(
    ctx: typer.Context,
    user: Annotated[
        list[str] | None, typer.Option("--user", metavar="ID", help="As producers write it; may be repeated.")
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="One id per line, in UTF-8.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Erase nothing; tell what still holds them.")] = False,
    lake: Annotated[
        str | None, typer.Option("--lake", metavar="URL", help="In the tables of this lake, as 'sie sink --to' has it.")
    ] = None,
    wait: Annotated[
        float,
        typer.Option(metavar="S", min=0, help="With --lake: wait so long for the sink to come to the topics' ends."),
    ] = 180.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Have every shard forget users, for good: a record in the log, which every replay meets again.

    Workers forget them when they come to the record: entity, pairs and interests; open views get a last statement
    without label and user id; the statement on sie.entities.v1 and the list on sie.recs.v1 are taken back. The
    checkpoint after it holds nothing of them, and one more checkpoint later no file of the store does ('--check'
    looks). What had been published, and the events themselves, stay until the retention of their topics; what a model
    has learned from many users stays. Events that come after the record begin a new user.

    With --lake, once that is done: deletes their rows from the tables that 'sie sink' writes, and the files that held
    them, while the sink goes on; with --check, tells how many there are. After a kill, call it again: it finishes.

    Ends with 0 where the record is written, or, with --check or --lake, where nothing holds them; 78 where something
    does, or may again: shards, for one, or messages that the sink has not read yet.

    [bold]Examples[/bold]
      sie erase --user 4711
      sie erase --file ids.txt --yes --json
      sie erase --check --user 4711
      sie erase --user 4711 --lake delta+s3://my-bucket/lake
      sie erase --check --user 4711 --lake delta+s3://my-bucket/lake
    """
    settings = get_settings(ctx)
    users = subjects(settings, [*(user or ()), *_listed(file)])
    if not users:
        raise UsageError("name who is to be forgotten: --user ID, or --file FILE")
    place = Place.of(lake, option="--lake") if lake else None
    if not (check or yes):
        _confirm(len(users))
    if check:
        _check(settings, users, place, as_json)
    elif place:
        _erase_from(place, settings, users, wait, as_json)
    else:
        _erase(settings, users, as_json)


def _listed(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return [line for line in file.read_text("utf-8").splitlines() if line]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--file {file} cannot be read: {error}") from None


def _confirm(n_users: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError("this cannot be taken back: say --yes where nobody can be asked")
    typer.confirm(f"Forget {n_users} user(s) for good?", abort=True, err=True)


def _erase(settings: Settings, users: Sequence[Subject], as_json: bool) -> None:
    with progress("Erase", "users") as advance:
        partitions = asyncio.run(erase(settings, users, advance))
    kept = asyncio.run(kept_hours(settings))
    if as_json:
        print_json({"erased": _named(users), "partitions": partitions, "kept_hours": kept})
        return
    out.print(f"{len(users)} user(s): told all {partitions} partitions of {settings.topics.events}", soft_wrap=True)
    for topic, hours in kept.items():
        time = "for ever" if hours is None else f"for up to {hours:g} h"
        out.print(f"  {topic} keeps what was written before {time}", soft_wrap=True)
    err.print("See what still holds them with 'sie erase --check'.", style="dim")


def _erase_from(place: Place, settings: Settings, users: Sequence[Subject], wait_s: float, as_json: bool) -> None:
    """Shards are looked at first: what they no longer hold, no row that is still to come can name."""
    traces = asyncio.run(look_for(settings, open_store(settings.store), users))
    tables = asyncio.run(erasing.forget(settings, place, users, wait_s))
    if as_json:
        print_json({"erased": _named(users), "tables": [asdict(table) for table in tables]})
    for table in () if as_json else tables:
        out.print(f"{table.table}: {table.rows:,} rows deleted, {table.files:,} files removed", soft_wrap=True)
    if held := sum(trace.held for trace in traces):
        raise DecisionError(
            f"{held} of {len(traces)} user(s) are still held by shards or topics, and rows of theirs may come again:"
            " 'sie erase --check' says by which. Do this once more when it finds none"
        )
    if behind := [table for table in tables if table.behind]:
        raise DecisionError(
            f"{behind[0].table} lacks {behind[0].behind:,} messages that its topic holds, which may name them: do this"
            " once more when the sink has read those"
        )


def _named(users: Sequence[Subject]) -> list[dict[str, str]]:
    return [{"user_id": one.user_id, "published_id": one.published_id} for one in users]


def _check(settings: Settings, users: Sequence[Subject], place: Place | None, as_json: bool) -> None:
    traces = asyncio.run(look_for(settings, open_store(settings.store), users))
    tables = asyncio.run(erasing.find(place, users)) if place else []
    held = [trace for trace in traces if trace.held]
    if as_json:
        found = [asdict(trace) | {"held": trace.held} for trace in traces]
        print_json({"users": found, "tables": [asdict(table) for table in tables]} if place else found)
    else:
        _show(traces, tables, settings)
    if held or any(table.files for table in tables):
        raise DecisionError(
            f"{len(held)} of {len(traces)} user(s) are still held" if held else "the lake still holds rows"
        )


def _show(traces: Sequence[Trace], tables: Sequence[TableTrace], settings: Settings) -> None:
    for trace in traces:
        out.print(f"{trace.user_id}: {'still held' if trace.held else 'not held'}", soft_wrap=True)
        if trace.stated:
            out.print(f"  a statement on {settings.topics.entities}", soft_wrap=True)
        if trace.recommended:
            out.print(f"  a list on {settings.topics.recs}", soft_wrap=True)
        for shard, packs in trace.packs.items():
            out.print(f"  {packs} file(s) of the checkpoints {shard}", soft_wrap=True)
    for table in tables:
        out.print(f"{table.table}: {table.rows:,} rows, in {table.files:,} files", soft_wrap=True)
