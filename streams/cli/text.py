"""Text for terminals: columns of fixed width, figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.cells import set_cell_size
from rich.text import Text

from sie_online.escape import safe

Row = Mapping[str, Any]

EXCERPT_BYTES = 120


@dataclass(frozen=True)
class Column:
    """One column on the terminal; ``width`` in cells, 0 for the last one, which may be as long as it is."""

    title: str
    width: int
    show: Callable[[Row], str]
    right: bool = False
    style: Callable[[Row], str] = lambda row: ""

    def cell(self, row: Row) -> Text:
        """The padded or cut text of ``row``."""
        return Text(self._fit(safe(self.show(row))), style=self.style(row))

    def heading(self) -> Text:
        """The padded title."""
        return Text(self._fit(self.title), style="bold")

    def _fit(self, text: str) -> str:
        if not self.width:
            return text
        if len(text) > self.width:
            return set_cell_size(text, self.width - 1) + "…"
        return text.rjust(self.width) if self.right else set_cell_size(text, self.width)


def excerpt(value: bytes | None) -> str | None:
    """The first ``EXCERPT_BYTES`` bytes as harmless text; None stays None."""
    if value is None:
        return None
    text = safe(value[:EXCERPT_BYTES].decode("utf-8", "backslashreplace"))
    return f"{text}…" if len(value) > EXCERPT_BYTES else text


def figure(value: float | None) -> str:
    """Three significant figures, at most six characters."""
    if value is None or not math.isfinite(value):
        return "·"
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def ratio(part: float | None, whole: float | None) -> str:
    """``part / whole``, a dot where there is none."""
    return figure(part / whole) if part is not None and whole else "·"
