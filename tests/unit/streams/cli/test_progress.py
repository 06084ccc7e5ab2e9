"""What is said while one waits: on a terminal a bar, elsewhere a line at once and then now and then."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest

from sie_online import jit
from streams.cli import progress
from streams.cli.terminal import Terminal


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What went to a stderr that is no terminal."""
    piped = Terminal(file=io.StringIO(), width=80)
    monkeypatch.setattr(progress, "err", piped)
    return lambda: piped.file.getvalue()  # type: ignore[attr-defined, no-any-return]


class Folders:
    def __init__(self, there: bool) -> None:
        self.there = there


def kernels(monkeypatch: pytest.MonkeyPatch, *, there: bool, ready: int = 3) -> None:
    monkeypatch.setattr(jit, "folders", Folders(there))
    monkeypatch.setattr(jit, "progress", lambda: (ready, 12))


def test_a_first_compilation_is_told_at_once_and_now_and_then(
    monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    kernels(monkeypatch, there=False)
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.2)
    with progress.compiling():
        deadline = time.monotonic() + 30
        while said().count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    first, *more = said().splitlines()
    assert first == "Compiling the kernels, kept for the next time: 3 of 12 functions, 25%, 0 s"
    assert more


def test_kernels_that_are_merely_loaded_are_not_worth_a_line(
    monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    kernels(monkeypatch, there=True)
    with progress.compiling():
        pass
    assert said() == ""


def test_kernels_of_which_some_must_be_compiled_anew_are_told_when_that_takes_its_time(
    monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    kernels(monkeypatch, there=True)
    monkeypatch.setattr(progress, "LOADING_S", 0.05)
    with progress.compiling():
        deadline = time.monotonic() + 30
        while not said() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "3 of 12 functions" in said()


def test_an_error_in_the_meantime_goes_through(monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]) -> None:
    kernels(monkeypatch, there=False)
    with pytest.raises(ZeroDivisionError), progress.compiling():
        raise ZeroDivisionError
