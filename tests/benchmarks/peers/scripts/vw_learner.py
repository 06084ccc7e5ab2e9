"""Vowpal Wabbit: one logistic step an event, from Python, fed by confluent-kafka a thousand messages at a time.

Features: hashed user, item, category and type, and user × item; label: whether the event is a purchase.
"""

from __future__ import annotations

import json

import vowpalwabbit
from confluent_kafka import Consumer
from progress import Progress, arguments

MESSAGES = 1_000

given = arguments()
progress = Progress(given.records)


def example(value: bytes | None) -> str | None:
    """A readable event as a line of VW's text format; ids of the log hold neither blanks, colons nor bars."""
    try:
        event = json.loads(value or b"")
        label = 1 if event["event_type"] == "purchase" else -1
        return f"{label} |u {event['user_id']} |i {event['item_id']} |c {event.get('category_id', '')}"
    except (ValueError, KeyError, TypeError):
        return None


model = vowpalwabbit.Workspace("--loss_function logistic --link logistic -q ui -b 22 --quiet")
consumer = Consumer(
    {
        "bootstrap.servers": given.broker,
        "group.id": given.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
consumer.subscribe([given.topic])
while True:
    learnt = 0
    for message in consumer.consume(MESSAGES, timeout=0.5):
        if message.error() is None and (line := example(message.value())):
            model.learn(line)
            learnt += 1
    if learnt:
        progress.add(learnt)
