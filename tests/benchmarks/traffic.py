"""Other events than the default scenario's: with more entities, or longer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import msgspec

from sie_online.ingest.wire import Chunk, WireRecord
from sie_online.simulator import Scenario, simulate

Rewrite = Callable[[dict[str, Any], int], dict[str, Any]]
"""Turns an event, which it may change, and its number into what is sent in its place."""

STRIDE = 2_654_435_761  # prime, about 2^32 over the golden ratio: n entities appear in an order that looks like chance
PAD = 250  # characters of one attribute; no more than 64 attributes are allowed


def chunks(n_events: int, rewrite: Rewrite, seed: int = 0) -> Iterator[Chunk]:
    """The scenario's valid events, each rewritten; event ids are new, so that nothing is a duplicate by ``seed``."""
    return rewritten(simulate(Scenario(events=n_events, seed=seed, malformed=0)).chunks(), rewrite, f"{seed}-")


def rewritten(source: Iterable[Chunk], rewrite: Rewrite, prefix: str) -> Iterator[Chunk]:
    """``source``, each of its events rewritten."""
    number = count()

    def one(record: WireRecord) -> WireRecord:
        event = rewrite(msgspec.json.decode(record.value or b"{}"), next(number))
        event["event_id"] = f"{prefix}{event['event_id']}"
        return WireRecord(event["user_id"].encode(), msgspec.json.encode(event))

    return (replace(chunk, records=[one(record) for record in chunk.records]) for chunk in source)


def as_it_is(event: dict[str, Any], _number: int) -> dict[str, Any]:
    """No change."""
    return event


def among(n_entities: int) -> Rewrite:
    """Half of the entities are users, half items, all about equally frequent."""
    half = max(1, n_entities // 2)

    def rewrite(event: dict[str, Any], number: int) -> dict[str, Any]:
        event["user_id"] = f"u{number * STRIDE % half}"
        event["item_id"] = f"i{(number * STRIDE + 1) * STRIDE % half}"
        return event

    return rewrite


def padded(n_bytes: int) -> Rewrite:
    """Each event is filled up with attributes to about so many bytes."""

    def rewrite(event: dict[str, Any], _number: int) -> dict[str, Any]:
        lack = n_bytes - len(msgspec.json.encode(event))
        if lack > 0:
            event["attributes"] = {f"pad_{at}": "x" * min(PAD, lack - at) for at in range(0, lack, PAD)}
        return event

    return rewrite
