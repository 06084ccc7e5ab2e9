"""Whatever others write, a decoder answers or refuses; short here, long by ``make fuzz``."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import run
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_what_failed_once_is_answered_or_refused(name: str) -> None:
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    for path in kept:
        TARGETS[name].check([path.read_bytes()])


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_answered_or_refused(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    target.check(seeds)  # raises at what is neither answered nor refused

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 1 << 32))
    def check(seed: int) -> None:
        rng = random.Random(seed)
        target.check([mutated(rng, seeds, target.mutations) for _ in range(8)])

    check()


def test_the_long_run_keeps_the_input_that_ended_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "FOUND", tmp_path)
    monkeypatch.setitem(TARGETS, "broken", Target(lambda: [b"seed"], _dies_at_a_cut_seed, (_same, _cut)))
    assert run.main(["--target", "broken", "--inputs", "50"]) == 1
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == b"see"
    assert "exit code -11" in capsys.readouterr().out


def _same(rng: random.Random, data: bytes) -> bytes:
    return data


def _cut(rng: random.Random, data: bytes) -> bytes:
    return b"see"


def _dies_at_a_cut_seed(inputs: Sequence[bytes]) -> None:
    if inputs == [b"see"]:
        faulthandler.disable()  # this death is meant: no stack of it in the report
        os.kill(os.getpid(), signal.SIGSEGV)
