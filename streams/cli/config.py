"""``sie config``: are the settings good, and what is in force."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from rich.text import Text

from sie_online.errors import UsageError
from sie_online.settings import Settings
from sie_online.settings.environment import variable_of
from streams.cli.common import Json, err, get_settings, out, print_json
from streams.extensions import check_extensions
from streams.query.tokens import check_tokens

if TYPE_CHECKING:
    from streams.tools.checks import CheckResult

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Check the settings, or show what is in force.")


@dataclass(frozen=True)
class Effective:
    """One setting as it is in force; a secret's value is stars."""

    name: str
    value: Any
    default: Any
    environment: str
    description: str
    choices: tuple[str, ...] = ()
    """The values there are, where only some are."""


def effective(settings: Settings) -> list[Effective]:
    """Every setting, in the order of their definition."""
    values = settings.model_dump(mode="json")
    return list(_walk(type(settings), values, prefix=()))


def _walk(model: type[BaseModel], values: dict[str, Any], prefix: tuple[str, ...]) -> Iterator[Effective]:
    defaults = (
        model.model_construct().model_dump(mode="json")
        if prefix
        else Settings.model_construct().model_dump(mode="json")
    )
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        dotted = ".".join(path)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, values[name], path)
        else:
            choices = tuple(map(str, get_args(field.annotation))) if get_origin(field.annotation) is Literal else ()
            said = field.description or ""
            yield Effective(dotted, values[name], defaults[name], variable_of(dotted), said, choices)


@app.command()
def check(
    ctx: typer.Context,
    connect: Annotated[bool, typer.Option("--connect", help="Also try brokers, topics, rights and store.")] = False,
    as_json: Json = False,
) -> None:
    """Read the settings from all sources; exit 0 where they are good, else 2 with one line per problem.

    With --connect, what they name is tried: do the brokers answer, have the topics the right shape, may a worker do
    there what it does, can the store be written, read and deleted from. Exit 2 or 3, as the first that fails has it
    ('sie worker --help').

    [bold]Examples[/bold]
      SIE_BROKER=kafka-1:9092 sie --config /etc/sie.toml config check
      sie config check --connect --json
    """
    settings = get_settings(ctx)
    check_extensions(settings)
    check_tokens(settings)
    changed = sum(setting.value != setting.default for setting in effective(settings))
    if not as_json:
        fingerprint = settings.fingerprint()[:16]
        differ = "setting differs from its default" if changed == 1 else "settings differ from their defaults"
        out.print(f"OK: {changed} {differ}, fingerprint {fingerprint}")
    findings = asyncio.run(_try_out(settings, aloud=not as_json)) if connect else []
    if as_json:
        document = {"valid": True, "fingerprint": settings.fingerprint()}
        print_json(document | ({"checks": [finding._asdict() for finding in findings]} if connect else {}))
    raise typer.Exit(next((finding.exit_code for finding in findings if finding.ok is False), 0))


async def _try_out(settings: Settings, *, aloud: bool) -> list[CheckResult]:
    from streams.tools.checks import try_out  # with it come Kafka and the kernels

    findings = []
    async for finding in try_out(settings):
        findings.append(finding)
        if aloud:
            verdict = {True: "OK", False: "FAILED", None: "-"}[finding.ok]
            for line in finding.found.splitlines():
                out.print(f"{verdict}: {finding.name}: {line}", soft_wrap=True)
    return findings


@app.command()
def show(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Settings or sections, as in kafka or trainer.gate; else all."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Every setting with its value in force, the variable that sets it and what it means. Secrets stay hidden.

    [bold]Examples[/bold]
      sie config show
      sie config show store topics trainer.gate
      sie --set labels.window_s=3600 config show --json
    """
    settings = get_settings(ctx)
    rows = _named(effective(settings), names or [])
    if as_json:
        print_json({"fingerprint": settings.fingerprint(), "settings": [asdict(row) for row in rows]})
        return
    section = ""
    for row in rows:
        if (within := row.name.rpartition(".")[0]) != section:
            section = within
            out.print(_heading(settings, section), soft_wrap=True)
        out.print(_lines(row), soft_wrap=True)
    rest = f": not the default. Fingerprint of what changes rows: {settings.fingerprint()[:16]}"
    err.print(Text.assemble(("Coloured", "bold cyan"), rest))


@app.command()
def sizing(
    ctx: typer.Context,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of one worker; else as many as topics.partitions.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What a worker takes of memory and scratch disk at most under these settings, and which setting bounds what.

    Memory is taken as it is needed: a new worker has some 300 MB, and grows with what it remembers. docs/sizing.md has
    what was measured, disk and network too.

    [bold]Examples[/bold]
      sie config sizing
      sie --set entities.users=1000000 config sizing --partitions 8 --json
    """
    from streams.cli import sizing_text

    settings = get_settings(ctx)
    sizes = sizing_text.WorkerSizes.of(settings, partitions or settings.topics.partitions)
    if as_json:
        print_json(sizes.document())
    else:
        out.print(sizing_text.table(sizes))


def _named(rows: list[Effective], names: list[str]) -> list[Effective]:
    """Those of ``names``, or within them.

    Raises:
        UsageError: there is nothing of a name.
    """
    for name in names:
        if not any(_is_in(row.name, name) for row in rows):
            raise UsageError(f"{name}: there is no such setting or section: 'sie config show' lists all")
    return [row for row in rows if not names or any(_is_in(row.name, name) for name in names)]


def _is_in(setting: str, name: str) -> bool:
    return setting == name or setting.startswith(f"{name}.")


def _heading(settings: Settings, section: str) -> Text:
    """A section's name and the first paragraph of what its class says."""
    model: Any = settings
    for part in section.split("."):
        model = getattr(model, part)
    about = " ".join((type(model).__doc__ or "").partition("\n\n")[0].split())
    return Text.assemble((f"\n[{section}]", "bold"), f" {about}")


def _lines(row: Effective) -> Text:
    style = "" if row.value == row.default else "bold cyan"
    value = json.dumps(row.value) if isinstance(row.value, list) else "" if row.value is None else str(row.value)
    choices = f" One of: {', '.join(row.choices)}." if row.choices else ""
    meaning = f"\n    {row.environment}: {row.description}{choices}"
    return Text.assemble((f"{row.name} = {value}", style), (meaning, "dim"))
