"""``sie model``: what was announced, what was refused, and a person's hand in it."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from models.manifest import Manifest
from sie_online.announcements import NET, NOISE, PRIORS, Announcement
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import DecisionError, UsageError
from sie_online.settings import Settings
from streams.cli import model_text
from streams.cli.common import Json, err, get_settings, out, print_json
from streams.model_registry.history import VersionEntry, checked, difference, entries, named, read_registered
from streams.store import Store, open_store

REFUSED = 1
"""Exit code where the gate refuses; 2, 3 and 78 mean what they mean everywhere."""

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="List, show, compare, submit and roll back announced models."
)


class ModelName(StrEnum):
    """Models that versions are announced of."""

    NET = NET
    PRIORS = PRIORS
    NOISE = NOISE


Which = Annotated[
    ModelName, typer.Option("--model", help="The importance net, what all partitions have learned, or the noise model.")
]


Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="A version, enough of its first or last letters, or 'current'.")
]


@app.command("list")
def list_(ctx: typer.Context, model: Which = ModelName.NET, as_json: Json = False) -> None:
    """Every version there is, the newest first: in force, announced, or refused by the gate.

    [bold]Examples[/bold]
      sie model list
      sie model list --model noise
    """
    _, found = _look(get_settings(ctx), model)
    if as_json:
        print_json([_document(entry) for entry in found])
        return
    for part in model_text.listing(found, model):
        out.print(part)


@app.command()
def show(ctx: typer.Context, version: Version, model: Which = ModelName.NET, as_json: Json = False) -> None:
    """Everything known of one version: announcements, figures, the gate's verdict, whether its artifact is sound.

    [bold]Example[/bold]
      sie model show current
    """
    store, found = _look(get_settings(ctx), model)
    entry = named(found, version)
    artifact = checked(store, entry.manifest) if entry.manifest else None
    if as_json:
        manifest = json.loads(entry.manifest.to_json()) if entry.manifest else None
        print_json(_document(entry) | {"manifest": manifest, "artifact": artifact})
        return
    for part in model_text.page(entry, artifact):
        out.print(part)


@app.command()
def diff(ctx: typer.Context, a: Version, b: Version, model: Which = ModelName.NET, as_json: Json = False) -> None:
    """Two versions beside each other: figures, the gate's report, and how far their tensors are apart.

    [bold]Examples[/bold]
      sie model diff 01K9XW current
      sie model diff 01K9XW current --model noise
    """
    store, found = _look(get_settings(ctx), model)
    document = difference(store, named(found, a), named(found, b))
    if as_json:
        print_json(document)
        return
    out.print(model_text.difference(document))
    if reason := document["tensors"].get("not_compared"):
        err.print(f"Tensors are not compared: {reason}", soft_wrap=True)


@app.command()
def rollback(
    ctx: typer.Context,
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="[VERSION]", help="An announced version, or 'builtin' for none; default: what was there before."
        ),
    ] = None,
    model: Which = ModelName.NET,
    now: Annotated[
        bool, typer.Option("--now", help="Shards adopt at their next checkpoint, late and counted as such.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Announce an old version anew. Workers adopt it within about trainer.ahead_s; a running trainer goes on from it.

    [bold]Examples[/bold]
      sie model rollback                  to what was in force before the present version
      sie model rollback builtin --now    no net, as soon as possible
      sie model rollback builtin --model priors
      sie model rollback --model noise    to the noise model before, or the default that is part of the package
    """
    announcement = asyncio.run(_roll_back(get_settings(ctx), version, model, now))
    if as_json:
        print_json(_announcement(announcement))
    else:
        when = "at each shard's next checkpoint" if now else model_text.applies(announcement)
        out.print(f"announcement {announcement.n}: {announcement.version} applies {when}")


@app.command()
def submit(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="safetensors; its manifest is FILE's .json beside it.")],
    as_json: Json = False,
) -> None:
    """Put any candidate through the trainer's gate, on the settled samples within the window.

    One that passes is announced; one that does not is kept in the store ('sie model list') and never announced.
    Without a manifest the file holds the tensors of an importance net, and nothing else is known of it.
    Ends with 0 where it was announced, 1 where the gate refused.

    [bold]Example[/bold]
      python -m models.train --samples samples.parquet --out models
      sie model submit models/01K9XW….safetensors
    """
    from streams.trainer.process import require_torch

    require_torch()
    from streams.trainer import submission

    settings = get_settings(ctx)
    given = submission.read(file)
    done = asyncio.run(submission.submit(settings, open_store(settings.store), given))
    gate = done.manifest.gate
    if as_json:
        print_json(_verdict(done.manifest, done.announcement))
    elif done.announcement is not None:
        out.print(f"passed: announcement {done.announcement.n}, {done.manifest.version}")
    else:
        out.print(f"refused: {done.manifest.version}")
        for reason in gate.reasons if gate else ():
            out.print(f"  {reason}", soft_wrap=True)
    if done.announcement is None:
        raise typer.Exit(REFUSED)


async def _roll_back(settings: Settings, name: str | None, model: ModelName, now: bool) -> Announcement:
    from streams.model_registry.announcer import Announcer, rollback_target

    store = open_store(settings.store)
    announcer = Announcer(settings, store)
    await announcer.start()
    try:
        registered = announcer.registry[model]
        version = name or rollback_target(registered)
        if version != BUILTIN_MODEL:
            version = _announced_before(named(entries(registered, store), version), store)
        return await announcer.rollback(version, model=model, now=now)
    finally:
        await announcer.stop()


def _announced_before(entry: VersionEntry, store: Store) -> str:
    if not entry.announcements:
        raise UsageError(f"{entry.version} was never announced ({entry.state}): 'sie model submit' judges a candidate")
    problem = checked(store, entry.manifest) if entry.manifest else "its manifest is gone"
    if problem != "sound":
        raise DecisionError(f"{entry.version} cannot be announced, no worker could load it: {problem}")
    return entry.version


def _look(settings: Settings, model: ModelName) -> tuple[Store, list[VersionEntry]]:
    store = open_store(settings.store)
    registered = asyncio.run(read_registered(settings, model))
    return store, entries(registered, store)


# -- documents


def _document(entry: VersionEntry) -> dict[str, Any]:
    manifest = entry.manifest
    return {
        "version": entry.version,
        "state": entry.state,
        "parent": manifest.parent if manifest else None,
        "created_at_ms": manifest.created_at_ms if manifest else None,
        "passed": manifest.gate.passed if manifest and manifest.gate else None,
        "reasons": list(manifest.gate.reasons) if manifest and manifest.gate else [],
        "announcements": [_announcement(announcement) for announcement in entry.announcements],
        "late_adoptions": entry.late,
        "stored": entry.stored,
    }


def _announcement(announcement: Announcement) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(announcement, str_keys=True)
    return document


def _verdict(manifest: Manifest, announcement: Announcement | None) -> dict[str, Any]:
    gate = manifest.gate
    return {
        "version": manifest.version,
        "passed": announcement is not None,
        "reasons": list(gate.reasons) if gate else [],
        "report": json.loads(manifest.to_json())["gate"]["report"] if gate else {},
        "announcement": _announcement(announcement) if announcement else None,
    }
