"""The root of ``sie``: global options, the list of commands, and what becomes of an error.

Commands are imported when they are called: ``sie --help`` stays quick, and what one command lacks breaks no other.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from sie_online.errors import SieError, UsageError
from streams import extras
from streams.cli.common import err, parse_overrides
from streams.observe import logs

INTERNAL_ERROR = 70
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED = 141  # 128 + SIGPIPE: `sie tail weights | head` is no error of ours

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CommandEntry:
    """One command: where it lives, and what its line in ``sie --help`` says.

    Its module imports what the extra 'worker' brings. What other extras bring it requires when it runs (``extras``), so
    that ``--help`` always teaches.
    """

    name: str
    summary: str
    panel: str
    attribute: str = "command"

    def load(self) -> Any:
        """The command itself.

        Raises:
            UsageError: it imports a package that is not installed.
        """
        try:
            found = getattr(importlib.import_module(f"streams.cli.{self.name.replace('-', '_')}"), self.attribute)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in {"sie_online", "streams", "models"}:
                raise
            raise UsageError(extras.missing(f"'sie {self.name}'", package, "worker")) from None
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = self.name
            return group
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(self.name)(found)
        return typer.main.get_command(app)

    def stub(self) -> TyperCommand:
        """Enough of a command for ``sie --help``, without importing it."""
        return TyperCommand(self.name, help=self.summary, rich_help_panel=self.panel)


COMMANDS = {
    entry.name: entry
    for entry in (
        CommandEntry("demo", "A generated event stream through broker and worker on this machine.", "Try it"),
        CommandEntry("sample-events", "Write a file of generated events, and the truth about them.", "Try it"),
        CommandEntry("topics", "Create the topics, or check them.", "Run it", "app"),
        CommandEntry("worker", "Weigh events as they come, until told to stop.", "Run it"),
        CommandEntry("trainer", "Fit noise model and net; announce what passes.", "Run it"),
        CommandEntry("model", "List, show, compare, submit and roll back announced models.", "Run it", "app"),
        CommandEntry("config", "Check the settings, or show what is in force.", "Run it", "app"),
        CommandEntry("heartbeat", "Move the clocks of silent partitions.", "Run it"),
        CommandEntry("kernels", "Compile a worker's kernels ahead of its first start.", "Run it"),
        CommandEntry("erase", "Forget users, or see what still holds them.", "Run it"),
        CommandEntry("replay", "Write a file of events to the input topic, at a chosen rate.", "Work with data"),
        CommandEntry("evaluate", "Weigh a file of events without a broker.", "Work with data"),
        CommandEntry("fit-noise", "Fit the noise model on a file of a shop's own events.", "Work with data"),
        CommandEntry("tail", "Follow weights, samples, entities, recommendations or dead letters.", "Work with data"),
        CommandEntry("sink", "Write weights and samples into tables of a lake.", "Work with data"),
        CommandEntry("explain", "Why an event has its weight.", "Work with data"),
        CommandEntry("audit", "Recompute published weights from the log, bit for bit.", "Work with data"),
    )
}


class LazyGroup(TyperGroup):
    """Lists every command in the order of ``COMMANDS``, imports only the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {entry.name: entry.stub() for entry in COMMANDS.values()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command, imported now."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, COMMANDS[str(name)].load(), rest


app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode="rich", no_args_is_help=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        from sie_online.contracts import CODE_VERSION

        sys.stdout.write(f"sie-online {CODE_VERSION}\n")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="TOML file of settings (as SIE_CONFIG).")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One setting, as in web.port=0; may be repeated."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Weights for training samples, estimated while the events flow: Kafka in, Kafka out.

    [bold]On this machine, with nothing of yours:[/bold]
      sie demo

    [bold]On your own Kafka:[/bold]
      export SIE_BROKER=kafka-1:9092 SIE_STORE=file:///var/lib/sie
      sie topics create
      sie worker
      sie tail weights

    [bold]On a file, without Kafka:[/bold]
      sie sample-events --out events.parquet
      sie evaluate events.parquet --out results

    Settings come from --set, then the environment (SIE_WEB__PORT=0), then the file of --config.
    'sie config show' lists them all.
    """
    if config is not None:
        os.environ["SIE_CONFIG"] = str(config)
    ctx.obj = parse_overrides(assignments or [])


def run(arguments: Sequence[str]) -> int:
    """Run one call of ``sie``; every outcome is an exit code (0, 2, 3, 70, 78, or 130 after Ctrl-C)."""
    try:
        result = typer.main.get_command(app).main(list(arguments), prog_name="sie", standalone_mode=False)
        sys.stdout.flush()
    except SieError as error:
        _print_error(f"sie: {error}")
        return error.exit_code
    except typer.TyperException as error:
        return _wrong_use(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _pipe_closed()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer and rich leave with 1 then
            return _pipe_closed()
        raise
    except Exception as error:  # noqa: BLE001 - the outermost frame: the exit code says whose fault
        return _unforeseen(error)
    return result if isinstance(result, int) else 0


def _print_error(message: str) -> None:
    """Say what went wrong; further lines are indented, so that none can pass for the word of another command."""
    err.print(Text(message.replace("\n", "\n  ")), soft_wrap=True)


def _wrong_use(error: typer.TyperException) -> int:
    """A wrong argument; without any, the help has been printed already."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "sie"
    if message := error.format_message():
        _print_error(f"{path}: {message} ('{path} --help' explains.)")
    return UsageError.exit_code


def _pipe_closed() -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush complains
    return PIPE_CLOSED


def _unforeseen(error: Exception) -> int:
    """Kafka's own words, where nobody has put them into ours; else a fault, whose traceback is logged."""
    from streams.exits import code_of

    if (code := code_of(error)) != INTERNAL_ERROR:
        err.print(f"sie: Kafka says {error!r}", markup=False, soft_wrap=True)
        return code
    if not logging.getLogger().handlers:
        logs.set_up("info")
    logger.exception("sie failed")
    err.print("sie: that is a fault of ours; the lines above say where.", soft_wrap=True)
    return INTERNAL_ERROR
