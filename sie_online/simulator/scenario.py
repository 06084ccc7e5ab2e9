"""How much of everything a simulation holds."""

from __future__ import annotations

from dataclasses import dataclass

from sie_online.errors import UsageError

MONDAY_MS = 1_748_822_400_000
"""2025-06-02 00:00 UTC: past, so that no event lies ahead of its record's Kafka timestamp."""

MAX_HOURS = 2_160  # ninety days: the end is past, too


@dataclass(frozen=True, slots=True)
class Scenario:
    """Doses of a simulation. Shares are of ``events`` unless said otherwise.

    Attributes:
        events: about how many valid, distinct events (the exact number depends on the dice), at least 1,000.
        seed: every number drawn follows from it.
        start_ms: event time of the beginning, ms since 1970.
        hours: event time covered, 1 to ``MAX_HOURS``; two days by default, so that 24 h windows mature within the
            stream.
        misclick_share: accidental views.
        bot_share: views by crawler accounts, ``bot_views`` each.
        brushing_share: fake orders, each a view and a purchase; ``brushing_orders`` by account.
        duplicate_share: events sent twice.
        malformed: records that cannot be read.
    """

    events: int = 60_000
    seed: int = 0
    start_ms: int = MONDAY_MS
    hours: float = 48.0
    misclick_share: float = 0.06
    bot_share: float = 0.12
    bot_views: int = 400
    brushing_share: float = 0.008
    brushing_orders: int = 4
    brushing_targets: int = 25
    duplicate_share: float = 0.01
    malformed: int = 24

    def __post_init__(self) -> None:
        if self.events < 1_000:
            raise UsageError(f"a simulation of {self.events} events shows nothing: ask for at least 1,000")
        if not 1 <= self.hours <= MAX_HOURS:
            raise UsageError(f"a simulation of {self.hours:g} hours cannot be: ask for 1 to {MAX_HOURS:,}")
        if self.misclick_share + self.bot_share + 2 * self.brushing_share > 0.8:
            raise UsageError("more than 80 % noise leaves no genuine behaviour to compare with: lower the shares")

    @property
    def span_ms(self) -> int:
        """Event time covered, ms."""
        return int(self.hours * 3_600_000)

    @property
    def end_ms(self) -> int:
        """Event time after the last event, ms since 1970."""
        return self.start_ms + self.span_ms

    @property
    def genuine_events(self) -> int:
        """About how many events real people cause on purpose."""
        return int(self.events * (1 - self.misclick_share - self.bot_share - 2 * self.brushing_share))
