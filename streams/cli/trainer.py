"""``sie trainer``: the process that fine-tunes the importance net."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.common import get_settings


def command(
    ctx: typer.Context,
    end_with_stdin: Annotated[
        bool, typer.Option("--end-with-stdin", hidden=True, help="A worker's child: end when its pipe closes.")
    ] = False,
) -> None:
    """Fine-tune the importance net on settled samples; announce what passes the gate.

    Reads sie.samples.v1 into a window (trainer.window_samples, trainer.window_age_s). Every trainer.every_samples new
    samples, or trainer.every_s seconds, it fine-tunes from the net in force, judges the candidate against uniform
    weights and that net (trainer.gate), and announces on sie.models.v1 from which offset of each partition it
    applies. A refused candidate is kept in the store. Workers adopt what is announced; none has to be told.

    It needs torch, the extra 'trainer': where that is missing, it says what to type.

    One trainer is enough: a second one ends the first. Its site is 127.0.0.1:8081 (trainer.web): /metrics, /healthz,
    /readyz. Figures for TensorBoard lie in the store's folder models/net/runs.

    Ends with 0 when told to, 2 where settings, topics, rights or torch are missing, 3 where broker or store do not
    answer at the start, 78 when another trainer has begun. A fine-tune that fails ends nothing.

    [bold]Examples[/bold]
      SIE_BROKER=kafka-1:9092 SIE_STORE=file:///var/lib/sie sie trainer
      sie --set trainer.every_samples=20000 --set trainer.fine_tune.threads=4 trainer
      sie worker --with-trainer        on one machine, as the worker's child
      tensorboard --logdir /var/lib/sie/models/net/runs
    """
    from streams.trainer.process import require_torch, serve

    require_torch()
    serve(get_settings(ctx), child=end_with_stdin)
