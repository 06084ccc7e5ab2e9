"""The live picture of a demo: a moving one on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.demo.observer import HISTOGRAM_LABELS, KIND_TYPES, in_words

REFRESH_PER_S = 4
PLAIN_EVERY_S = 5.0
PLAIN_SETUP_EVERY_S = 30.0
BAR_WIDTH = 24


@dataclass
class DemoState:
    """What there is to show; the stage writes it, the view reads it. ``lag`` in records, None while unknown;
    ``waited_s``: how long sending has stood still on purpose, so far.
    """

    total: int
    phase: str = "Setting up"
    sent: int = 0
    sending_since: float | None = None
    sending_until: float | None = None
    waited_s: float = 0.0
    weighted: int = 0
    final: int = 0
    dead_letters: int = 0
    lag: int | None = None
    histogram: list[int] = field(default_factory=lambda: [0] * len(HISTOGRAM_LABELS))
    found: dict[str, float | None] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Events written per second so far."""
        if self.sending_since is None:
            return 0.0
        took_s = (self.sending_until or time.monotonic()) - self.sending_since
        return self.sent / max(took_s - self.waited_s, 1e-3)


class DemoDisplay:
    """Shows a ``DemoState`` on ``console``."""

    def __init__(self, console: Console, state: DemoState) -> None:
        self._console = console
        self._state = state
        self._last_line = time.monotonic()
        self._last_phase = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the state within the block; on a terminal it moves."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=self._picture, console=self._console, refresh_per_second=REFRESH_PER_S, transient=True
        ):
            yield

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, soft_wrap=True)

    def tick(self) -> None:
        """Where nothing moves: a line at every new phase, and one every few seconds."""
        if self._console.is_terminal:
            return
        state, now = self._state, time.monotonic()
        if state.phase != self._last_phase:
            self._last_phase, self._last_line = state.phase, now
            self._console.print(f"{state.phase} ...")
        elif now - self._last_line >= (PLAIN_SETUP_EVERY_S if state.sending_since is None else PLAIN_EVERY_S):
            self._last_line = now
            line = f"{state.phase} ..." if state.sending_since is None else _line(state)
            self._console.print(line, soft_wrap=True)

    def _picture(self) -> RenderableType:
        state = self._state
        head = Table.grid(padding=(0, 2))
        share = state.sent / max(state.total, 1)
        bar = ProgressBar(total=1.0, completed=share, width=40)
        head.add_row(Text(state.phase, style="bold"), bar, f"{share:.0%}", f"{state.rate:,.0f} events/s")
        panels = Table.grid(padding=(0, 1))
        panels.add_row(
            Panel(_counts(state), title="Stream", title_align="left"),
            Panel(_histogram(state), title="Weights", title_align="left"),
            Panel(_found(state), title="Planted noise found (AUC)", title_align="left"),
        )
        return Group(head, panels)


def _counts(state: DemoState) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("records sent", state.sent),
        ("weighed", state.weighted),
        ("final", state.final),
        ("dead letters", state.dead_letters),
        ("lag", state.lag),
    ):
        table.add_row(name, "-" if value is None else f"{value:,}")
    return table


def _histogram(state: DemoState) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    top = max([1, *state.histogram])
    for label, count in zip(HISTOGRAM_LABELS, state.histogram, strict=True):
        table.add_row(label, Text("█" * round(BAR_WIDTH * count / top), style="cyan"), f"{count:,}")
    return table


def _found(state: DemoState) -> Table:
    table = Table.grid(padding=(0, 2))
    for kind, etype in KIND_TYPES.items():
        value = state.found.get(kind)
        style = "" if value is None else "green" if value >= 0.9 else "yellow" if value >= 0.7 else "red"
        table.add_row(kind, f"among {etype}s", Text("-" if value is None else f"{value:.3f}", style=style))
    return table


def _line(state: DemoState) -> str:
    lag = "unknown" if state.lag is None else f"{state.lag:,}"
    return (
        f"{state.sent:,} of {state.total:,} sent ({state.rate:,.0f}/s), {state.weighted:,} weighed, lag {lag}, "
        f"noise found (AUC): {in_words(state.found) or '-'}"
    )
