"""``sie worker``: the process that weighs events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.checkpoint.decisions import Overrides
from streams.cli.common import get_settings

if TYPE_CHECKING:
    from sie_online.settings import Settings
    from streams.trainer.child import TrainerChild


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
        bool, typer.Option("--fresh", help="Begin anew, above all rows there are, where nothing is stored.")
    ] = False,
    accept_new_topic: Annotated[
        bool, typer.Option("--accept-new-topic", help="Begin anew because the input topic was deleted and made again.")
    ] = False,
    with_trainer: Annotated[
        bool, typer.Option("--with-trainer", help="Also run a trainer, as a child process that stands back for this.")
    ] = False,
) -> None:
    """Weigh events as they come, until told to stop.

    Ends with 0 when told to, 2 where settings, topics or rights are wrong, 3 where broker or store are away or full,
    70 after a fault of our own (start it again), 78 where state and log disagree, or no state can be read, and a
    person has to decide.

    [bold]Example[/bold]
      SIE_BROKER=kafka-1:9092 SIE_STORE=file:///var/lib/sie sie worker
      sie worker --with-trainer        one of the workers is enough ('sie trainer --help')
    """
    settings = get_settings(ctx)
    trainer = _trainer(ctx, settings) if with_trainer else None

    from streams.app import serve

    try:
        overrides = Overrides(accept_changed_settings, accept_repartition, accept_gap, fresh, accept_new_topic)
        serve(settings, overrides, None if trainer is None else lambda: trainer.restarts)
    finally:
        if trainer is not None:
            trainer.stop()


def _trainer(ctx: typer.Context, settings: Settings) -> TrainerChild:
    """The trainer beside this worker, started.

    Raises:
        UsageError: torch is missing.
    """
    from streams.observe import logs
    from streams.trainer.child import TrainerChild, trainer_command
    from streams.trainer.process import require_torch

    require_torch()
    logs.set_up(settings.log_level)
    child = TrainerChild(trainer_command(ctx.find_root().params.get("assignments") or ()))
    child.start()
    return child
