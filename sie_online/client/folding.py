"""Folds what a log repeats: one line a minute for each cause, with how many there were since the last one.

A client whose broker is away says so up to 90 times a second, and would bury whatever else there is to read.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

EVERY_S = 60.0
KEPT = 1_000
"""Causes remembered at a time; beyond that the oldest may speak again early."""

OURS = ("models", "sie_online", "streams")
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "data", "stack"}
"""What every record carries; the rest was passed as ``extra``."""
DIGITS = re.compile(r"\d+")


class Folding(logging.Filter):
    """Passes the first warning or error of each cause, and one every ``EVERY_S`` seconds as long as it repeats.

    The cause of a library's line is its template, whatever is filled in; of a line of ours, all it says.
    Lines below a warning, and critical ones, always pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._causes: OrderedDict[tuple[object, ...], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` passes; if it does after others like it did not, it says how many."""
        if not logging.WARNING <= record.levelno < logging.CRITICAL:
            return True
        held_back = self._held_back(_cause(record), self._clock())
        if held_back:
            record.msg, record.args = f"{record.getMessage()} [and {held_back} more like it]", None
        return held_back is not None

    def _held_back(self, cause: tuple[object, ...], now: float) -> int | None:
        """How many lines of ``cause`` were held back since one passed; None if this one is to be, too."""
        with self._lock:
            said_at, n = self._causes.get(cause, (now - EVERY_S, 0))
            if now - said_at < EVERY_S:
                self._causes[cause] = said_at, n + 1
                return None
            self._causes[cause] = now, 0
            self._causes.move_to_end(cause)
            if len(self._causes) > KEPT:
                self._causes.popitem(last=False)
            return n


def _cause(record: logging.LogRecord) -> tuple[object, ...]:
    if record.name.partition(".")[0] in OURS:
        extra = sorted((name, str(value)) for name, value in vars(record).items() if name not in STANDARD)
        text = f"{record.getMessage()} {extra}"
    else:
        text = DIGITS.sub("#", str(record.msg))
    return record.name, record.levelno, text, repr(record.exc_info[1]) if record.exc_info else ""


def fold_library(name: str = "aiokafka") -> None:
    """Fold what the library ``name`` says to whatever logs the process has; a second call changes nothing."""
    for logger in [logging.getLogger(each) for each in list(logging.root.manager.loggerDict) if _belongs(each, name)]:
        if not any(isinstance(known, Folding) for known in logger.filters):
            logger.addFilter(_LIBRARIES)


def _belongs(logger: str, library: str) -> bool:
    return logger == library or logger.startswith(f"{library}.")


_LIBRARIES = Folding()
