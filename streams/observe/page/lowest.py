"""The users and items from which most weight was taken off within the last hour, and why; of a sample of statements.

Told of are first statements with less than half the weight of an average event. Who they are about is ranked by the
weight that was taken off, the sum of 1 - w; memory is bounded however many there are (``heavy_hitters``).
"""

from __future__ import annotations

import heapq
import operator
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.contracts import FACTORS
from streams.observe.page.heavy_hitters import HeavyHitters
from streams.observe.page.statement import reason, shown

LOW = 0.5
BUCKET_S = 600.0
BUCKETS = 6
"""An hour; what is told reaches back between 50 and 60 minutes."""
SIZE = 250
"""Names of ten minutes: whoever lost more than a 250th of all the weight that was taken off is among them. Together
they take some 3 MB at most."""
SHOWN = 8
KINDS = ("user", "item")

Floats = NDArray[np.float64]


class Weighed(msgspec.Struct, frozen=True):
    """A user or item: its events of the sample that weighed less than ``LOW``, their mean weight and P(noise), and the
    factor that lowers them most, with the mean of its multiplier (geometric).
    """

    id: str
    events: int
    taken_off: float
    weight: float
    noise_probability: float
    factor: str
    times: float
    why: str


@dataclass(slots=True)
class Tally:
    """Sums over statements."""

    events: int = 0
    weight: float = 0.0
    noise: float = 0.0
    logs: list[float] = field(default_factory=lambda: [0.0] * len(FACTORS))
    """Of each factor's part of log weight."""

    def add(self, other: Tally) -> None:
        """Take ``other`` in."""
        self.events += other.events
        self.weight += other.weight
        self.noise += other.noise
        self.logs = list(map(operator.add, self.logs, other.logs))

    @property
    def taken_off(self) -> float:
        """The sum of 1 - w."""
        return self.events - self.weight


class Bucket(NamedTuple):
    """Ten minutes, from ``since`` on (s since 1970)."""

    since: float
    hitters: dict[str, HeavyHitters[Tally]]


class Lowest:
    """Fed with statements; ``most`` says who was weighed down most."""

    def __init__(self) -> None:
        self._buckets: deque[Bucket] = deque(maxlen=BUCKETS)

    def take(self, batch: pa.RecordBatch, at: float) -> None:
        """Statements (columns of ``sie.weights.v1``) that were published at ``at``, s since 1970."""
        weight, revision = batch.column("weight").to_numpy(), batch.column("revision").to_numpy()
        low = np.flatnonzero((weight < LOW) & (revision == 0))
        self._rotate(at)
        if len(low):
            rows = batch.take(pa.array(low))
            for kind in KINDS:
                hitters = self._buckets[-1].hitters[kind]
                for name, tally in _tallies(rows, f"{kind}_id"):
                    hitters.add(name, tally.taken_off, tally)

    def most(self, kind: str, at: float) -> list[Weighed]:
        """The first few of ``kind`` (``KINDS``) as of ``at``, those that lost most first."""
        self._rotate(at)
        taken_off: defaultdict[str, float] = defaultdict(float)
        for bucket in self._buckets:
            for name, kept in bucket.hitters[kind]:
                taken_off[name] += kept.told.taken_off
        names = heapq.nsmallest(SHOWN, taken_off, key=lambda name: (-taken_off[name], name))
        return [_weighed(name, self._tally(kind, name)) for name in names]

    def _tally(self, kind: str, name: str) -> Tally:
        found = Tally()
        for bucket in self._buckets:
            if (tally := bucket.hitters[kind].get(name)) is not None:
                found.add(tally)
        return found

    def _rotate(self, at: float) -> None:
        """Begin a bucket where that is due; forget those of more than an hour ago."""
        while self._buckets and at - self._buckets[0].since >= BUCKETS * BUCKET_S:
            self._buckets.popleft()
        if not self._buckets or at - self._buckets[-1].since >= BUCKET_S:
            self._buckets.append(Bucket(at, {kind: HeavyHitters[Tally](SIZE) for kind in KINDS}))


def _tallies(rows: pa.RecordBatch, column: str) -> Iterator[tuple[str, Tally]]:
    """Sums over ``rows`` by the ids in ``column``."""
    coded = rows.column(column).dictionary_encode()
    whose, names = coded.indices.to_numpy(), coded.dictionary.to_pylist()

    def summed(name: str) -> Floats:
        return np.bincount(whose, rows.column(name).to_numpy(), len(names)).astype(np.float64)

    events, weight, noise = np.bincount(whose, minlength=len(names)), summed("weight"), summed("noise_probability")
    logs = np.column_stack([summed(f"f_{factor}") for factor in FACTORS]).tolist()
    for at, name in enumerate(names):
        yield name, Tally(int(events[at]), float(weight[at]), float(noise[at]), logs[at])


def _weighed(name: str, tally: Tally) -> Weighed:
    n = tally.events
    lowers = reason({factor: log / n for factor, log in zip(FACTORS, tally.logs, strict=True)})
    return Weighed(
        id=shown(name),
        events=n,
        taken_off=tally.taken_off,
        weight=tally.weight / n,
        noise_probability=tally.noise / n,
        factor=lowers.factor if lowers else "",
        times=lowers.times if lowers else 1.0,
        why=lowers.why if lowers else "",
    )
