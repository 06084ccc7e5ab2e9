"""``sie topics``: create the topics, or check them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sie_online.errors import TopicError
from sie_online.moments import HOUR_MS
from streams.cli.common import Json, err, get_settings, out, print_json
from streams.topics import Findings, create_topics, find_topics

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Create the topics, or check them.")


@app.command()
def create(
    ctx: typer.Context,
    partitions: Annotated[
        int | None, typer.Option(help="Partitions of the input topic if it is made now (as topics.partitions).")
    ] = None,
    replication: Annotated[int | None, typer.Option(help="Replicas of each new topic (as topics.replication).")] = None,
    as_json: Json = False,
) -> None:
    """Create the topics that are missing; may be repeated, and changes no topic's configuration.

    Weights and samples get as many partitions as the input topic has, also where that has grown.

    A topic that exists stays as it is. Where it has not what --partitions or --replication asks for, that is exit 2
    with the command that changes it; where only settings ask for it (SIE_TOPICS__PARTITIONS), it is a note.

    [bold]Examples[/bold]
      sie topics create
      SIE_BROKER=kafka-1:9092 sie topics create --partitions 16 --replication 3
    """
    given = {name: n for name, n in (("partitions", partitions), ("replication", replication)) if n is not None}
    findings = asyncio.run(create_topics(get_settings(ctx, topics=given)))
    _report(replace(findings, problems=findings.problems + findings.unmet, unmet=[]) if given else findings, as_json)


@app.command()
def check(ctx: typer.Context, as_json: Json = False) -> None:
    """Check that the topics exist with the right shape; exit 2 with what to run where they do not.

    [bold]Example[/bold]
      SIE_BROKER=kafka-1:9092 sie topics check
    """
    _report(asyncio.run(find_topics(get_settings(ctx))), as_json)


def _report(findings: Findings, as_json: bool) -> None:
    if as_json:
        print_json(_document(findings))
    elif findings.topics:
        out.print(_table(findings))
    for note in () if as_json else (*findings.notes, *findings.unmet):
        err.print(Text.assemble(("Note:", "yellow"), f" {note}"), soft_wrap=True)
    if findings.problems:
        raise TopicError("\n".join(findings.problems))


def _document(findings: Findings) -> dict[str, Any]:
    return {
        "ok": not findings.problems,
        "topics": [asdict(state) for state in findings.topics.values()],
        "problems": findings.problems,
        "notes": findings.notes + findings.unmet,
    }


def _table(findings: Findings) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("topic", overflow="fold")  # a name that was cut short is of no use
    for title in ("partitions", "replicas", "cleanup", "kept", "largest", ""):
        table.add_column(title, justify="left" if title in ("cleanup", "") else "right")
    for state in findings.topics.values():
        kept = (
            "for ever"
            if state.retention_ms < 0 or state.cleanup == "compact"
            else f"{state.retention_ms / HOUR_MS:g} h"
        )
        change = Text(state.change, style="green") if state.change else Text("exists", style="dim")
        largest = f"{state.message_bytes / 1e6:.1f} MB"
        table.add_row(state.name, str(state.partitions), str(state.replicas), state.cleanup, kept, largest, change)
    return table
