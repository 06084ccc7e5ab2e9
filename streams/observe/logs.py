"""The worker's log: one line per message on stderr, ``time level logger message key=value …``, repetitions folded.

Text from outside is escaped: a line is a line, and steers no terminal. No payloads and no secrets: records' keys and
values and connection arguments are never logged.
"""

from __future__ import annotations

import logging
import logging.config
import time
from typing import Any

from sie_online.client.folding import STANDARD, Folding
from sie_online.escape import harmless, safe

QUIET = ("aiokafka", "faust", "mode", "asyncio", "numba")
"""Chatty libraries: warnings and worse only, unless the level is ``debug``."""


class LineFormatter(logging.Formatter):
    """Appends whatever was passed as ``extra`` as ``key=value``; a traceback follows on lines of its own."""

    converter = time.gmtime  # type: ignore[assignment]  # the stub says that it takes no argument

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        extra = {name: value for name, value in vars(record).items() if name not in STANDARD}
        return safe(" ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in extra.items())]))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - likewise
        return harmless(super().formatException(ei))


def config(level: str) -> dict[str, Any]:
    """Argument for ``logging.config.dictConfig``."""
    libraries = level if level == "debug" else "error" if level == "error" else "warning"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter}},
        "filters": {"folding": {"()": Folding}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["folding"]}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {name: {"level": libraries.upper()} for name in QUIET},
    }


def set_up(level: str) -> None:
    """Log to stderr from now on."""
    logging.config.dictConfig(config(level))
