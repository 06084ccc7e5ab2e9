"""What the settings name, tried out: ``sie config check --connect``.

A further check is a function that says in a sentence what it found, or raises a ``SieError`` that does, and a line in
``CHECKS``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from sie_online.errors import AccessError, SieError, TopicError
from sie_online.settings import Settings
from streams import access
from streams.brokers import count_brokers
from streams.store.probe import check_store
from streams.topics import find_topics


class Check(NamedTuple):
    """``find`` is only tried where all checks that it ``needs`` went well."""

    name: str
    find: Callable[[Settings], Awaitable[str]]
    needs: frozenset[str] = frozenset()


class CheckResult(NamedTuple):
    """What one check found. ``ok`` is None where it was not tried; ``exit_code`` is of the documented ones."""

    name: str
    ok: bool | None
    found: str
    seconds: float = 0.0
    exit_code: int = 0


async def _broker(settings: Settings) -> str:
    n = await count_brokers(settings)
    return f"{settings.broker} answers: {n} broker{'s' if n > 1 else ''} by {settings.kafka.security_protocol}"


async def _topics(settings: Settings) -> str:
    findings = await find_topics(settings)
    if findings.problems:
        raise TopicError("\n".join(findings.problems))
    partitions = findings.topics[settings.topics.events].partitions
    good = f"all {len(findings.topics)} are there, {settings.topics.events} with {partitions} partitions"
    return "\n".join([good, *findings.notes])


async def _rights(settings: Settings) -> str:
    if lacking := await access.find_missing(settings, access.worker(settings)):
        raise AccessError("\n".join(lacking))
    return "a worker may do all that it needs to"


async def _store(settings: Settings) -> str:
    await asyncio.to_thread(check_store, settings)
    return f"{settings.store}: an object was written, read back, not created a second time, and deleted"


CHECKS = (
    Check("broker", _broker),
    Check("topics", _topics, needs=frozenset({"broker"})),
    Check("rights", _rights, needs=frozenset({"broker", "topics"})),
    Check("store", _store),
)


async def try_out(settings: Settings) -> AsyncIterator[CheckResult]:
    """The finding of each of ``CHECKS``, as soon as it is there."""
    failed: set[str] = set()
    for check in CHECKS:
        finding = await _finding(check, settings, sorted(check.needs & failed))
        if not finding.ok:
            failed.add(check.name)
        yield finding


async def _finding(check: Check, settings: Settings, missing: list[str]) -> CheckResult:
    if missing:
        return CheckResult(check.name, None, f"not tried without {' and '.join(missing)}")
    began = time.monotonic()
    try:
        ok, found, code = True, await check.find(settings), 0
    except SieError as error:
        ok, found, code = False, str(error), error.exit_code
    return CheckResult(check.name, ok, found, round(time.monotonic() - began, 3), code)
