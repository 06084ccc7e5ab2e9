"""The root of ``sie``: what becomes of arguments, errors and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from sie_online import errors
from sie_online.contracts import CODE_VERSION
from streams import extras
from streams.cli import root as cli
from streams.cli.common import get_settings, parse_overrides


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Put a function (or a Typer app) in the place of ``sie worker``."""

    def install(function: Any) -> None:
        module = ModuleType("streams.cli.worker")
        module.command = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "streams.cli.worker", module)

    return install


def raising(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("no such file"), 2),
        (errors.TopicError("sie.events is missing: sie topics create"), 2),
        (errors.UnreachableError("127.0.0.1:9092 does not answer"), 3),
        (errors.CheckpointError("no checkpoint can be read"), 70),
        (errors.DecisionError("use --accept-gap"), 78),
    ],
)
def test_our_errors_become_one_line_and_their_exit_code(
    command: Callable[[Any], None], capsys: pytest.CaptureFixture[str], error: errors.SieError, code: int
) -> None:
    command(raising(error))
    assert cli.run(["worker"]) == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"sie: {error}\n")


def test_brackets_in_a_message_are_no_markup(
    command: Callable[[Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(errors.UsageError("pip install 'sie-online[worker]'")))
    cli.run(["worker"])
    assert "sie-online[worker]" in capsys.readouterr().err


def test_an_unexpected_error_is_70_with_its_traceback_on_stderr(command: Callable[[Any], None]) -> None:
    code = (
        "import sys; import streams.cli.root as c; c.CommandEntry.load = lambda _: 1 / 0; sys.exit(c.run(['worker']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (70, "")
    assert "ZeroDivisionError" in done.stderr
    assert "a fault of ours" in done.stderr


def test_ctrl_c_is_130_without_a_word(command: Callable[[Any], None], capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(KeyboardInterrupt()))
    assert cli.run(["worker"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_command_may_return_its_exit_code(command: Callable[[Any], None]) -> None:
    command(lambda: 3)
    assert cli.run(["worker"]) == 3


def test_a_closed_pipe_is_no_fault_of_ours() -> None:
    code = "import sys; from streams.cli import root as c; sys.exit(c.run(['--help']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["wroker"], "No such command 'wroker'. Did you mean 'worker'?"),
        (["--colour"], "No such option: --colour"),
        (["config", "check", "extra"], "unexpected extra argument"),
        (["--set", "web.port", "config", "check"], "write section.key=value"),
        (["--set", "importance.factors=[noise", "config", "check"], "a list is JSON"),
        (["--set", "web.port=x", "config", "check"], "web.port: Input should be a valid integer"),
        (["--set", "wbe.port=1", "config", "check"], "wbe: there is no such setting"),
        (["--config", "/nowhere.toml", "config", "check"], "/nowhere.toml, which cannot be read"),
    ],
)
def test_wrong_use_is_2_and_says_what(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    assert cli.run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert "Traceback" not in printed.err


def test_help_names_every_command_without_importing_any(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; from streams.cli import root as c; c.run(['--help'])\nprint('LOADED', *sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    listing, _, loaded = printed.partition("LOADED")
    for name in cli.COMMANDS:
        assert f" {name} " in listing
        assert f"streams.cli.{name}" not in loaded.split()
    assert not {"faust", "aiokafka", "numba", "pyarrow", "pydantic"} & set(loaded.split())


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    assert "sie evaluate events.parquet" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"sie-online {CODE_VERSION}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_exists_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    assert f"sie {name}" in capsys.readouterr().out


def test_a_package_missing_from_a_worker_install_is_told_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'numba'", name="numba.core")

    monkeypatch.setattr(cli.importlib, "import_module", fails)
    with pytest.raises(errors.UsageError) as refused:
        cli.COMMANDS["kernels"].load()
    assert str(refused.value) == f"'sie kernels' needs the package numba: {extras.install_line('worker')}"


def test_settings_reach_the_command(
    command: Callable[[Any], None], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sie.toml"
    file.write_text("group = 'file'\n[web]\nport = 1\nhost = 'h'\n")
    monkeypatch.setenv("SIE_CONFIG", "")  # restored afterwards
    seen: list[Any] = []

    def function(ctx: typer.Context) -> None:
        seen.append(get_settings(ctx, store="file:///s"))

    command(function)
    assert cli.run(["--config", str(file), "--set", "web.port=2", "--set", "guard.strength=0.5", "worker"]) == 0
    (settings,) = seen
    assert (settings.group, settings.web.port, settings.web.host) == ("file", 2, "h")
    assert (settings.guard.strength, settings.store) == (0.5, "file:///s")


def test_overrides_nest_and_later_ones_win() -> None:
    assert parse_overrides(["a.b=1", "a.c=x=y", 'd=["p","q"]', "a.b=2"]) == {
        "a": {"b": "2", "c": "x=y"},
        "d": ["p", "q"],
    }


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["evaluate", "{file}", "--out", "{file}/results"], "--out"),
        (["evaluate", "{file}", "--out", "/proc/results"], "--out"),
        (["tail", "weights", "--limit", "1", "--parquet", "/proc/x.parquet"], "--parquet"),
        (["tail", "weights", "--limit", "1", "--parquet", "{folder}"], "--parquet"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_2_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], option: str
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("this would be refused, too, were it read\n")
    assert cli.run([argument.format(file=file, folder=tmp_path) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"sie: {option}: ")
    assert said.count("\n") == 1
