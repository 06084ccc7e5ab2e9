"""The one way to a terminal: nothing that is printed can steer it, whoever wrote the text."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from sie_online.escape import harmless, safe

PIPE_CELLS = 1_000
"""A pipe or a file has no width: no line is broken, and no name cut, for the sake of one."""


class Terminal(Console):
    """A console to which a string is text and nothing else: no markup, no emoji codes, no control characters.

    A string is one line, a line end within it is shown as such: several lines of our own are a ``Text``. Colours are
    those that our own code gives with ``style`` or ``Text``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if not self.is_terminal and "COLUMNS" not in os.environ and "width" not in options:
            self.width = PIPE_CELLS

    def render_str(self, text: str, **options: Any) -> Text:
        """What a string becomes, printed by itself or in a table."""
        return super().render_str(safe(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything else that is printed, last of all."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=harmless(segment.text))
