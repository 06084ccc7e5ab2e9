"""``sie audit``: recompute published weights from the log and the announcements."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from sie_online.errors import DecisionError, UnreachableError, UsageError
from sie_online.settings import Settings
from sie_online.shard import warm_up
from streams.cli.common import Json, Strict, get_settings, out, print_json
from streams.cli.progress import compiling, progress
from streams.model_registry.history import read_registry
from streams.model_registry.loaded import LoadedModels
from streams.observe.metrics import Metrics
from streams.store import open_store
from streams.tools.audit import AuditFinding, audit


def command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A table written by 'sie tail weights --parquet FILE'.")],
    as_json: Json = False,
    strict: Strict = False,
) -> None:
    """Recompute published weights from the log of events and the announced models, and compare them bit for bit.

    Runs fresh shards over the log from its beginning, under the settings of this call, which must be the workers'.
    Exit code 0: every row came out the same. 78: some did not, or retention has cut the log.

    [bold]Example[/bold]
      sie tail weights --parquet weights.parquet --until-idle 5
      sie audit weights.parquet
    """
    settings = get_settings(ctx)
    try:
        rows = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{file} cannot be read as Parquet: {error}") from None
    with compiling():
        warm_up()
    finding = asyncio.run(_audit(rows, settings, strict))
    if as_json:
        print_json(asdict(finding) | {"holds": finding.holds})
    else:
        _show(finding)
    if not finding.holds:
        raise DecisionError("the table is not what these events, announcements and settings give rise to")


async def _audit(rows: pa.Table, settings: Settings, strict: bool) -> AuditFinding:
    registry = await read_registry(settings, strict=strict)
    loaded = LoadedModels(settings, open_store(settings.store), registry, Metrics(settings))
    with progress("Audit", "records") as advance:
        try:
            return await audit(rows, settings, registry, loaded.get, advance)
        except LookupError as error:
            raise UnreachableError(f"announced model {error} cannot be loaded from {settings.store}") from None


def _show(finding: AuditFinding) -> None:
    out.print(f"{finding.rows:,} rows: {finding.equal:,} equal in every bit")
    for name, count in (("different", finding.different), ("given rise to by nothing in the log", finding.missing)):
        if count:
            out.print(f"  {count:,} {name}")
    for difference in finding.differences:
        out.print(f"    {difference}")
    for partition, first in sorted(finding.cut.items()):
        out.print(f"  partition {partition} is not checked: retention has cut its log up to offset {first}")
