"""How a worker ends itself: at once, with a code an operator's script can act on and one log line that says why.

No clean-up: the state is in the last checkpoint, and whatever runs on after a fault can only do harm (Faust would
restart the agent and go on as if the failed batch had been processed).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from aiokafka.errors import (
    InvalidTopicError,
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)

from sie_online.client.access import REFUSALS
from sie_online.errors import SieError, UnreachableError, UsageError

log = logging.getLogger(__name__)

FAULT = SieError.exit_code
"""Our own fault, or a state we cannot leave alive: restart me."""

NOT_AS_TOLD = (*REFUSALS, UnknownTopicOrPartitionError, InvalidTopicError)
AWAY = (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError, NodeNotReadyError)


def code_of(error: BaseException) -> int:
    """With which code a process ends that ``error`` has ended: the error's own; those of Kafka's that speak of rights
    or topics are the operator's (2), those of a broker that does not answer are nobody's (3); anything else is ours.
    """
    if isinstance(error, SieError):
        return error.exit_code
    if isinstance(error, NOT_AS_TOLD):
        return UsageError.exit_code
    return UnreachableError.exit_code if isinstance(error, AWAY) else FAULT


_farewells: list[Callable[[], None]] = []


def before_death(farewell: Callable[[], None]) -> None:
    """Have ``die`` call ``farewell``, from whatever thread; it must return soon whatever state the process is in."""
    _farewells.append(farewell)


def die(code: int, reason: str) -> NoReturn:
    """Log ``reason`` and end the process with ``code``, from any thread."""
    log.log(logging.CRITICAL if code else logging.INFO, "worker ends: %s", reason, extra={"exit_code": code})
    while _farewells:
        with suppress(Exception):
            _farewells.pop()()
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
