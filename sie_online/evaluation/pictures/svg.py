"""Charts as SVG: axes with ticks, and lines, bands, bars and points in them. Knows nothing of what is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TypeAlias

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 34, 46
TICKS = 5
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
Points: TypeAlias = Sequence[float]
LOG_DIGITS, FEW_POWERS = (1.0, 2.0, 5.0), 4


@dataclass
class Chart:
    """A chart with a ``title``; ``x`` and ``y`` are what the axes run over, (from, to).

    ``show_x`` and ``show_y`` spell a tick, ``x_ticks`` are there in place of round numbers; ``log_x`` and ``log_y``
    make an axis logarithmic. ``margin`` is the room for the names of the y axis, and ``height`` that of all, in pixels.
    """

    title: str
    x: tuple[float, float]
    y: tuple[float, float]
    x_name: str = ""
    y_name: str = ""
    log_x: bool = False
    log_y: bool = False
    show_x: Callable[[float], str] = "{:g}".format
    show_y: Callable[[float], str] = "{:g}".format
    x_ticks: Points | None = None
    margin: int = LEFT
    height: int = HEIGHT
    _parts: list[str] = field(default_factory=list)
    _legend: list[str] = field(default_factory=list)

    def line(self, xs: Points, ys: Points, colour: str, name: str = "", *, dashed: bool = False) -> None:
        """A line through points; with a ``name`` it is in the legend."""
        points = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        dashes = ' stroke-dasharray="4 4"' if dashed else ""
        self._parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        if name:
            self._note(colour, name)

    def band(self, xs: Points, low: Points, high: Points, colour: str) -> None:
        """What lies between two lines."""
        there = [(x, y) for x, y in zip(xs, high, strict=True)]
        back = [(x, y) for x, y in zip(xs, low, strict=True)][::-1]
        points = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in there + back)
        self._parts.append(f'<polygon points="{points}" fill="{colour}" opacity="0.18"/>')

    def points(self, xs: Iterable[float], ys: Iterable[float], colour: str) -> None:
        """Dots."""
        for x, y in zip(xs, ys, strict=True):
            self._parts.append(f'<circle cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="3.5" fill="{colour}"/>')

    def box(self, x: tuple[float, float], y: tuple[float, float], colour: str) -> None:
        """A filled rectangle from corner to corner: a bar."""
        left, right = sorted(map(self._x, x))
        top, bottom = sorted(map(self._y, y))
        size = f'width="{right - left:.1f}" height="{bottom - top:.1f}"'
        self._parts.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{colour}"/>')

    def label(self, y: float, text: str) -> None:
        """A name at height ``y``, left of the axis."""
        self._parts.append(_text(self.margin - 8, self._y(y) + 4, text, "end"))

    def svg(self, *, y_ticks: bool = True) -> str:
        """The picture."""
        bottom = self.height - BOTTOM
        frame = [
            _text(self.margin, 18, self.title, weight="600"),
            _text((self.margin + WIDTH - RIGHT) / 2, self.height - 8, self.x_name, "middle"),
            f'<line x1="{self.margin}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="#888"/>',
        ]
        across = ticks(*self.x, log=self.log_x) if self.x_ticks is None else self.x_ticks
        frame += [_text(self._x(tick), bottom + 16, self.show_x(tick), "middle") for tick in across]
        for tick in ticks(*self.y, log=self.log_y) if y_ticks else ():
            at = self._y(tick)
            frame.append(f'<line x1="{self.margin}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#8883"/>')
            frame.append(_text(self.margin - 6, at + 4, self.show_y(tick), "end"))
        if self.y_name:
            middle = (TOP + bottom) / 2
            frame.append(
                f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
                f"{escape(self.y_name)}</text>"
            )
        body = "\n".join([*frame, *self._parts, *self._legend])
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" role="img" '
            f'aria-label="{escape(self.title)}">\n{body}\n</svg>'
        )

    def _note(self, colour: str, name: str) -> None:
        y = TOP + 8 + 16 * (len(self._legend) // 2)
        self._legend.append(f'<rect x="{self.margin + 12}" y="{y - 6}" width="14" height="4" fill="{colour}"/>')
        self._legend.append(_text(self.margin + 32, y, name))

    def _x(self, value: float) -> float:
        return self.margin + (WIDTH - RIGHT - self.margin) * _share(value, self.x, log=self.log_x)

    def _y(self, value: float) -> float:
        return self.height - BOTTOM - (self.height - BOTTOM - TOP) * _share(value, self.y, log=self.log_y)


def ticks(low: float, high: float, *, log: bool = False) -> list[float]:
    """Round values within [low, high]; on a logarithmic axis powers of ten, and where those are few their 2 and 5."""
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        digits = (1.0,) if len(powers) > FEW_POWERS else LOG_DIGITS
        found = [digit * 10.0**power for power in powers for digit in digits]
        return [tick for tick in found if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    rough = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(each for each in STEPS if each * unit >= rough * (1 - 1e-9))
    return [step * at for at in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _share(value: float, bounds: tuple[float, float], *, log: bool) -> float:
    low, high = map(math.log10, bounds) if log else bounds
    at = math.log10(max(value, 10.0**low)) if log else value
    return min(1.0, max(0.0, (at - low) / (high - low)))


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "400") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
