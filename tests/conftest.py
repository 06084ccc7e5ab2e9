"""Fixtures for all tests: brokers (one per session and kind), and a settings factory."""

from __future__ import annotations

import logging
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from tests.support.brokers import ROOT, Broker, apache_kafka, embedded_broker, requirements
from tests.support.buckets import Network, network_to, s3_server
from tests.support.requirements import end

# Before anything imports numba: compiled kernels are kept from one run to the next.
os.environ.setdefault("SIE_CACHE_DIR", str(ROOT / "build" / "cache"))
# Before anything imports torch, and for children, too: nets of tests are too small to share out among threads, which
# wait for each other as soon as tests run beside each other (eight minutes instead of 20 s on two busy cores).
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis_settings.register_profile("sie", deadline=None)  # the first call of a kernel compiles it
hypothesis_settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") else "sie")


def pytest_configure() -> None:
    """SIGTERM ends a run as Ctrl-C does: fixtures stop their brokers and workers instead of leaving them behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a broker is marked with its kind."""
    for item in items:
        for fixture, marker in (("kafka", "kafka"), ("broker", "embedded")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without Java or Maven a developer's run skips what needs Apache Kafka; under CI that is a failure."""
    if item.get_closest_marker("kafka") and (missing := requirements()):
        end(missing)


SettingsFactory = Callable[..., Any]
TOPICS = ("events", "weights", "samples", "entities", "recs", "models", "dead_letters")


def _forget_settings() -> None:
    for name in list(os.environ):
        if name.startswith("SIE_") and name != "SIE_CACHE_DIR":
            del os.environ[name]


_forget_settings()  # before any fixture of a wider scope reads them


@pytest.fixture(autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """What the person running the tests has set for their deployment must not reach them, nor one test's the next."""
    yield
    _forget_settings()


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """What a command run inside a test sets up for its log ends with that test: levels, and handlers of its stderr."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {logger: logger.level for logger in (root, *_loggers())}
    yield
    for handler in root.handlers[:]:
        if handler not in handlers and not type(handler).__module__.startswith("_pytest."):
            root.removeHandler(handler)
    for logger in (root, *_loggers()):
        if logger.level != (before := levels.get(logger, logging.NOTSET)):
            logger.setLevel(before)


def _loggers() -> list[logging.Logger]:
    return [known for known in logging.root.manager.loggerDict.values() if isinstance(known, logging.Logger)]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The embedded broker: shared, so use topics of your own (``settings`` makes them). Not for kill tests."""
    with embedded_broker(tmp_path_factory.mktemp("embedded")) as running:
        yield running


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Real Apache Kafka, shared. A test that kills or stops it makes its own with ``apache_kafka()``."""
    with apache_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An S3 on this machine, shared; ``network`` and ``bucket`` lead to it."""
    with s3_server(tmp_path_factory.mktemp("s3") / "moto.log") as port:
        yield port


@pytest.fixture
def network(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """The way to the S3, on which faults may happen; this process and its children take it for ``s3://``."""
    with network_to(s3_port) as way:
        for name, value in way.environment().items():
            monkeypatch.setenv(name, value)
        yield way


@pytest.fixture
def bucket(network: Network) -> str:
    """URL of a bucket of the test's own."""
    return network.make_bucket(f"test-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def settings(tmp_path: Path) -> SettingsFactory:
    """Factory of valid settings: a store in ``tmp_path``, any free web port, a group and topics of this test's own.

    Arguments are laid over that, nested: ``settings(broker=kafka.address, labels={"window_s": 60})``.
    """
    from sie_online.settings import load

    name = uuid.uuid4().hex[:8]
    base = {
        "store": (tmp_path / "store").as_uri(),
        "group": f"test-{name}",
        "web": {"port": 0},
        "topics": {topic: f"test-{name}.{topic.replace('_', '-')}" for topic in TOPICS},
    }
    return lambda **overrides: load(_merged(base, overrides))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        known = merged.get(name)
        merged[name] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged
