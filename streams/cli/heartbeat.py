"""``sie heartbeat``: move the clocks of silent partitions, until stopped."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from streams.cli.common import err, get_settings
from streams.tools.heartbeat import keep_beating


def command(
    ctx: typer.Context,
    silent_s: Annotated[float, typer.Option(min=0.1, help="A partition silent for this long gets one.")] = 30.0,
    behind_s: Annotated[
        float | None, typer.Option(min=0, help="How far behind the wall clock; default: labels.lateness_s.")
    ] = None,
) -> None:
    """Send each silent partition of the input topic a heartbeat, until stopped.

    For live streams: a window matures only when its partition's event time moves on.

    [bold]Example[/bold]
      sie heartbeat --silent-s 60
    """
    settings = get_settings(ctx)
    behind = settings.labels.lateness_s if behind_s is None else behind_s

    def print_beat(partition: int, timestamp_ms: int) -> None:
        err.print(f"heartbeat to {settings.topics.events}/{partition} at {timestamp_ms}")

    asyncio.run(keep_beating(settings, silent_s=silent_s, behind_s=behind, on_beat=print_beat))
