"""Runs of the whole job under several settings, as a table."""

from __future__ import annotations

from tests.benchmarks.in_turns import table


def _run(variant: str, rate: float, worker: float, **more: float) -> dict[str, object]:
    return {"variant": variant, "rate": rate, "cpu_us": {"contestant": worker, "broker": 1.0}, **more}


def test_a_table_has_the_median_of_each_variant_in_the_order_of_their_turns() -> None:
    rates = ((100, 10.0), (300, 12.0), (200, 11.0))
    runs = [run for rate, us in rates for run in (_run("off", rate, us), _run("all", rate / 2, 2 * us, recs_mb=3.0))]
    lines = [line.split() for line in table(runs).splitlines()[1:]]
    assert lines == [["off", "200", "11.00", "1.00", "0.0"], ["all", "100", "22.00", "1.00", "3.0"]]
