"""Options in groups, as typer and as the command sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from streams.cli.options import with_groups


@dataclass(frozen=True, kw_only=True)
class Paint:
    colour: Annotated[str, typer.Option("--colour")]
    coats: Annotated[int, typer.Option(min=1)] = 2


@with_groups
def command(
    *,
    before: Annotated[bool, typer.Option("--before")] = False,
    paint: Paint,
    after: Annotated[bool, typer.Option("--after")] = False,
) -> None:
    typer.echo(f"{before} {paint} {after}")


app = typer.Typer()
app.command()(command)


def test_a_group_reaches_the_command_as_one_with_its_own_defaults() -> None:
    done = CliRunner().invoke(app, ["--after", "--colour", "blue"])
    assert done.output.strip() == f"False {Paint(colour='blue')} True"


def test_options_of_a_group_are_checked_as_any_other() -> None:
    assert CliRunner().invoke(app, ["--colour", "blue", "--coats", "0"]).exit_code == 2
    assert CliRunner().invoke(app, []).exit_code == 2


def test_options_of_a_group_are_listed_where_the_group_stands() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert sorted(("--before", "--colour", "--coats", "--after"), key=shown.index) == [
        "--before",
        "--colour",
        "--coats",
        "--after",
    ]
