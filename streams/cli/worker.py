"""``sie worker``: the process that weighs events."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.checkpoint.decisions import Overrides
from streams.cli.common import get_settings


def command(
    ctx: typer.Context,
    accept_changed_settings: Annotated[
        bool, typer.Option("--accept-changed-settings", help="Continue a state that other settings made.")
    ] = False,
    accept_repartition: Annotated[
        bool, typer.Option("--accept-repartition", help="Continue although the number of input partitions changed.")
    ] = False,
    accept_gap: Annotated[
        bool, typer.Option("--accept-gap", help="Continue although the log no longer holds the checkpoint's offset.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew although this group has committed before.")
    ] = False,
) -> None:
    """Weigh events as they come, until told to stop.

    Ends with 0 when told to, 2 where settings or topics are wrong, 3 where broker or store do not answer, 70 after a
    fault of our own (start it again), 78 where state and log disagree and one of the flags has to decide.

    [bold]Example[/bold]
      SIE_BROKER=kafka-1:9092 SIE_STORE=file:///var/lib/sie sie worker
    """
    from streams.app import serve

    settings = get_settings(ctx)
    serve(settings, Overrides(accept_changed_settings, accept_repartition, accept_gap, fresh))
