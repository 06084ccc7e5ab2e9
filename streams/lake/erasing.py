"""``sie erase --lake``: users in the tables of a lake, looked for or deleted. How a table does it is its own affair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sie_online.client.reader import TopicReader
from sie_online.errors import TopicError, UsageError
from sie_online.settings import Settings
from streams.lake.layout import SCHEMAS
from streams.lake.places import Place
from streams.lake.port import Held, LakeTable
from streams.lake.users import Found, Subject, Users
from streams.threads import in_thread

LOOK_EVERY_S = 1.0
"""How often a table is asked how far it has come."""


@dataclass(frozen=True, slots=True)
class TableTrace:
    """Rows and files of users in the table at the URL ``table``: there, or deleted.

    ``behind``: messages that the topic held when this began, and that the table does not hold: they may name users.
    """

    table: str
    rows: int
    files: int
    behind: int = 0


async def find(place: Place, subjects: Sequence[Subject]) -> list[TableTrace]:
    """What the tables of a lake hold of users, whoever writes them.

    Raises:
        UsageError: there is no table.
        UnreachableError: the place does not answer.
    """
    return [
        TableTrace(place.table_url(stream), *await in_thread(None, table.find, Users.of(stream, subjects)))
        for stream, table in (await in_thread(None, _tables, place)).items()
    ]


async def forget(settings: Settings, place: Place, subjects: Sequence[Subject], wait_s: float) -> list[TableTrace]:
    """Delete users' rows from the tables of a lake, and the files that held them; what is gone.

    Waits for ``wait_s`` at most until its sink has each table come to where its topic ends now.

    Raises:
        UsageError, UnreachableError: as ``find``; and where the brokers do not answer.
    """
    tables = await in_thread(None, _tables, place)
    ends = {stream: await _ends(settings, table) for stream, table in tables.items()}
    deadline = time.monotonic() + wait_s
    found = []
    for stream, table in tables.items():
        behind = await _caught_up(table, ends[stream], deadline)
        gone = await in_thread(None, _forget, table, Users.of(stream, subjects))
        found.append(TableTrace(place.table_url(stream), *gone, behind))
    return found


def _tables(place: Place) -> dict[str, LakeTable]:
    """Those that are there, by stream."""
    tables, lacking = {}, UsageError()
    for stream in SCHEMAS:
        table = place.table(stream)
        try:
            table.look()
        except UsageError as error:
            lacking = error
            continue
        tables[stream] = table
    if not tables:
        raise lacking
    return tables


def _forget(table: LakeTable, users: Users) -> Found:
    table.visit()
    return table.forget(users)


async def _ends(settings: Settings, table: LakeTable) -> dict[int, int]:
    """Where the table's topic ends; a topic that is gone brings no more rows."""
    held = await in_thread(None, table.look)
    try:
        async with TopicReader(settings, held.topic) as reader:
            return {number: span.end for number, span in (await reader.spans()).items() if span.end > span.first}
    except TopicError:
        return {}


async def _caught_up(table: LakeTable, ends: Mapping[int, int], deadline: float) -> int:
    """Messages before ``ends`` that the table does not hold, 0 as soon as there is none, at the latest at
    ``deadline``."""
    while behind := _behind(await in_thread(None, table.look), ends):
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(LOOK_EVERY_S)
    return behind


def _behind(held: Held, ends: Mapping[int, int]) -> int:
    at = {number: mark.next_offset for number, mark in held.marks.items()}
    return sum(max(0, end - at.get(number, 0)) for number, end in ends.items())
