"""Who weighs most in a stream, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from streams.observe.page.heavy_hitters import HeavyHitters


@dataclass
class Times:
    """How often a name came."""

    n: int = 1

    def add(self, other: Times) -> None:
        self.n += other.n


STREAMS = st.lists(st.tuples(st.integers(0, 30).map(str), st.integers(0, 100).map(float)), max_size=400)


@given(stream=STREAMS, size=st.integers(1, 8))
def test_whoever_has_more_than_his_share_is_kept_and_ranks_are_bounded(
    stream: list[tuple[str, float]], size: int
) -> None:
    hitters: HeavyHitters[Times] = HeavyHitters(size)
    true: defaultdict[str, float] = defaultdict(float)
    for name, mass in stream:
        hitters.add(name, mass, Times())
        true[name] += mass
        assert len(hitters) <= 2 * size
    total, kept = sum(true.values()), dict(hitters)
    assert hitters.floor <= total / size + 1e-9
    assert {name for name, mass in true.items() if mass > total / size} <= kept.keys()
    for name, each in kept.items():
        assert true[name] <= each.rank + 1e-9
        assert each.rank <= true[name] + hitters.floor + 1e-9


def test_what_is_told_of_a_name_sums_up_while_it_is_kept() -> None:
    hitters: HeavyHitters[Times] = HeavyHitters(2)
    for _ in range(5):
        hitters.add("a", 1.0, Times())
    assert hitters.get("a") == Times(5)
    assert hitters.get("b") is None
