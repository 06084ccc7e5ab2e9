"""Bytewax: a keyed counter over its Kafka source, as a dataflow of one worker; no recovery store."""

from __future__ import annotations

import json
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from progress import Progress, arguments

given = arguments()
progress = Progress(given.records)


class Counted(StatelessSinkPartition[tuple[str, int]]):
    """Notes how many counts arrived."""

    def write_batch(self, items: list[tuple[str, int]]) -> None:
        progress.add(len(items))


class Counts(DynamicSink[tuple[str, int]]):
    """Where the counts go."""

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> Counted:
        return Counted()


def user_of(message: Any) -> tuple[str, int] | None:
    """The user of a readable event."""
    try:
        return str(json.loads(message.value)["user_id"]), 1
    except (ValueError, KeyError, TypeError):
        return None


def count(seen: int | None, n: int) -> tuple[int, int]:
    """The user's events so far."""
    total = (seen or 0) + n
    return total, total


flow = Dataflow("counter")
read = kafka.input("in", flow, brokers=[given.broker], topics=[given.topic], tail=True)
users = op.filter_map("user", read.oks, user_of)
op.output("out", op.stateful_map("count", users, count), Counts())
run_main(flow)
