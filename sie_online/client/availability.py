"""Whether the brokers answer, and since when not: one rule for worker, trainer and subscribers.

Who asks the brokers, and how often, is the clients' own; they tell the outcome here. A broker that is away is waited
for, by default for ever: what ends a process is ``kafka.outage_limit_s`` and nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from aiokafka.errors import KafkaConnectionError

from sie_online.client.tokens import token_provider
from sie_online.errors import UnreachableError
from sie_online.settings import Settings

log = logging.getLogger(__name__)

ASK_EVERY_S = 2.0
ANSWER_S = 4.0
"""An answer to a question that costs the broker nothing is waited for so long."""
AWAY_AFTER_S = 8.0
"""Brokers that were silent for less than this may only be slow: a longer pause of a JVM, a new leader."""
DOUBTFUL_AFTER_S = ASK_EVERY_S + 1.0
TELL_EVERY_S = 60.0


class Availability:
    """Of the brokers, as one client sees it: away once a question failed and none was answered for ``AWAY_AFTER_S``.

    Written by one thread, read by any.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._broker = settings.broker
        self._limit_s = settings.kafka.outage_limit_s
        self._tokens = token_provider(settings.kafka)
        self._clock = clock
        self._wall_clock = wall_clock
        self._answered_at, self.last_answer = clock(), wall_clock()
        self._failing_since: float | None = None
        self._told_at: float | None = None
        self._cause = ""

    @property
    def away(self) -> bool:
        """Whether the brokers count as away."""
        return self._failing_since is not None and self.silent_s > AWAY_AFTER_S

    @property
    def doubtful(self) -> bool:
        """Whether an answer is overdue: what waits for the brokers may be waiting for them in vain."""
        return self.silent_s > DOUBTFUL_AFTER_S

    @property
    def silent_s(self) -> float:
        """Seconds since the last answer (or since this client began)."""
        return self._clock() - self._answered_at

    @property
    def reason(self) -> str:
        """A sentence while they are away, else nothing."""
        return self._sentence() if self.away else ""

    def answered(self) -> None:
        """A broker has answered just now."""
        if self._told_at is not None:
            log.warning("broker answers again", extra={"broker": self._broker, "after_s": round(self.silent_s)})
        self._answered_at, self.last_answer = self._clock(), self._wall_clock()
        self._failing_since = self._told_at = None

    def failed(self, error: BaseException) -> None:
        """A question was not answered, because of ``error``.

        Raises:
            UnreachableError: the brokers are away for longer than ``kafka.outage_limit_s``.
        """
        now = self._clock()
        self._cause = (self._tokens.problem if self._tokens else "") or _cause(error)
        if self._failing_since is None:
            self._failing_since = now
        if self._limit_s and now - self._failing_since > self._limit_s:
            limit = f"kafka.outage_limit_s = {self._limit_s:g} s"
            raise UnreachableError(f"{self._sentence()}; that is longer than {limit}")
        if self.away and (self._told_at is None or now - self._told_at >= TELL_EVERY_S):
            self._told_at = now
            log.warning("%s; trying again", self._sentence())

    def _sentence(self) -> str:
        since = datetime.fromtimestamp(self.last_answer, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"broker {self._broker} has not answered since {since}: {self._cause}"


def _cause(error: BaseException) -> str:
    if isinstance(error, KafkaConnectionError):  # its text holds no more than the addresses, as Python objects
        return "no connection"
    return "no answer in time" if isinstance(error, TimeoutError) and not str(error) else str(error) or repr(error)
