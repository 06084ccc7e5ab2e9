"""Kernels are compiled for a level of processors, unless somebody says otherwise."""

from __future__ import annotations

import numba
import pytest
from llvmlite import binding

from sie_online.processor import V3, settle_processor


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CPU_NAME", None)
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    monkeypatch.setattr(numba.config, "ENABLE_AVX", 1)


@pytest.mark.parametrize("lacking", [None, *V3])
def test_level_3_is_where_nothing_of_it_is_lacking(monkeypatch: pytest.MonkeyPatch, lacking: str | None) -> None:
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: {name: name != lacking for name in (*V3, "avx512f")})
    assert _settled() == ("generic" if lacking else "x86-64-v3", "")


def test_who_distrusts_avx_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: dict.fromkeys(V3, True))
    monkeypatch.setattr(numba.config, "ENABLE_AVX", 0)
    assert _settled() == ("generic", "")


@pytest.mark.parametrize("told", [("znver4", None), (None, "+sse4.2"), ("generic", "")])
def test_what_numba_was_told_holds(monkeypatch: pytest.MonkeyPatch, told: tuple[str | None, str | None]) -> None:
    monkeypatch.setattr(numba.config, "CPU_NAME", told[0])
    monkeypatch.setattr(numba.config, "CPU_FEATURES", told[1])
    assert _settled() == told


def _settled() -> tuple[str | None, str | None]:
    settle_processor()
    return numba.config.CPU_NAME, numba.config.CPU_FEATURES
