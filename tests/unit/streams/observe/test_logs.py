"""The worker's log lines."""

from __future__ import annotations

import logging

from streams.observe.logs import LineFormatter, config


def _record(**extra: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "streams.worker.service", "levelname": "INFO", "msg": "shard %s", "args": (3,)} | extra
    )


def test_what_is_passed_as_extra_follows_the_message_as_key_and_value() -> None:
    line = LineFormatter().format(_record(partition=3, epoch=7))

    assert line.endswith("INFO streams.worker.service shard 3 partition=3 epoch=7")


def test_times_are_utc_and_say_so() -> None:
    assert LineFormatter().format(_record(created=0.25, msecs=250.0)).startswith("1970-01-01T00:00:00.250Z ")


def test_chatty_libraries_are_quiet_unless_asked() -> None:
    assert config("info")["loggers"]["aiokafka"]["level"] == "WARNING"
    assert config("debug")["loggers"]["aiokafka"]["level"] == "DEBUG"
    assert config("error")["loggers"]["aiokafka"]["level"] == "ERROR"
