"""Brokers for tests: a process of our own, on free ports of the loopback interface, with a directory of its own.

Two kinds with one face: ``embedded_broker`` (noida-db: up in a second, loses acknowledged writes on kill -9) and
``apache_kafka`` (the real thing; every claim about durability is tested on it). Nothing here ends a process that it
did not start.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
RUN_KAFKA = ROOT / "deploy" / "kafka" / "run.sh"
INSTALL_LINE = "apt-get install --no-install-recommends default-jre-headless maven"

PORTS = range(15_000, 30_000)
"""Below the ephemeral range: no client connection can take a killed broker's port before it restarts."""

ANYONE: Mapping[str, Any] = MappingProxyType({})
"""How clients of a broker connect that asks nobody who they are."""

READY_S = 60  # a cold JVM on a busy two-core machine; Maven's first download has no part in it
STOP_S = 20


def requirements() -> str | None:
    """What is missing for real Apache Kafka, with the one line that installs it; None where all is there."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if not missing:
        return None
    return f"real Apache Kafka needs {' and '.join(missing)}: {INSTALL_LINE}"


def free_ports(count: int = 1) -> list[int]:
    """``count`` adjacent ports on which nobody listens now."""
    for first in random.sample(PORTS, len(PORTS)):
        ports = list(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports
    raise RuntimeError(f"no {count} adjacent free ports in {PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Broker:
    """A broker process that can be stopped, killed and restarted with its data and port.

    Attributes:
        address: what clients bootstrap from, ``127.0.0.1:port``.
        log: the process's output, all starts in one file.

    ``client`` is how an aiokafka client gets in.
    """

    def __init__(self, command: Sequence[str], port: int, log: Path, client: Mapping[str, Any] = ANYONE) -> None:
        self.address = f"127.0.0.1:{port}"
        self._client = {"bootstrap_servers": self.address, **client}
        self.log = log
        self._port = port
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            RuntimeError: the port is taken, or it ended, or did not answer within ``READY_S``; carries the log's end.
        """
        if not _is_free(self._port):  # or the other's answer would pass for ours
            raise RuntimeError(f"{self.address} is taken: stop what listens there, or give another port")
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not heard; returns when the process is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs, then start again with the same data and port."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(how)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _wait_ready(self) -> None:
        try:
            until(self._answers, "answer", READY_S, hopeless=lambda: self.pid is None)
        except AssertionError:
            state = "does not answer" if self.pid else "ended"
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(f"the broker on {self.address} {state}; the end of {self.log}:\n{tail}") from None

    def _answers(self) -> bool:
        """Whether it tells its metadata and finds a group's coordinator (which a fresh one does a second later)."""
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return _in_thread(lambda: asyncio.run(_ask(self._client)))


async def _ask(client: Mapping[str, Any]) -> bool:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(**client, request_timeout_ms=2_000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        await admin.find_coordinator("readiness")
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()
    return bool(cluster["brokers"])


def _in_thread(ask: Callable[[], bool]) -> bool:
    """Run where no event loop is: a test may restart a broker from within its own."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    thread.join()
    return answers == [True]


@contextmanager
def _running(broker: Broker, data: Path, *, keep: bool) -> Iterator[Broker]:
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        atexit.unregister(broker.kill)
        if not keep:
            shutil.rmtree(data, ignore_errors=True)


@contextmanager
def embedded_broker(data_dir: Path | None = None, port: int | None = None) -> Iterator[Broker]:
    """noida-db's Kafka, for everything but durability and speed. Without ``data_dir`` the data go at the end."""
    data = data_dir or Path(tempfile.mkdtemp(prefix="sie-embedded-"))
    data.mkdir(parents=True, exist_ok=True)
    port = port or free_ports()[0]
    binary = Path(str(files("noida_db"))) / "noida-db"  # not the wrapper in bin/: its child would outlive a SIGKILL
    binary.chmod(binary.stat().st_mode | 0o111)
    command = [str(binary), "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(data / "noida")]
    with _running(Broker(command, port, data / "broker.log"), data, keep=data_dir is not None) as broker:
        yield broker


@contextmanager
def apache_kafka(
    data_dir: Path | None = None,
    port: int | None = None,
    *,
    properties: Path | None = None,
    formatting: Sequence[str] = (),
    java: str = "",
    client: Mapping[str, Any] = ANYONE,
) -> Iterator[Broker]:
    """One node of real Apache Kafka. Without ``data_dir`` the data go at the end.

    ``properties`` come after ``server.properties`` and win, ``formatting`` are arguments for formatting its disk,
    ``java`` is for its virtual machine, and ``client`` is how an aiokafka client gets in.

    Raises:
        RuntimeError: Java or Maven is missing (see ``requirements``), or it does not start.
    """
    if missing := requirements():
        raise RuntimeError(missing)
    fetch_kafka()
    data = data_dir or Path(tempfile.mkdtemp(prefix="sie-kafka-"))
    data.mkdir(parents=True, exist_ok=True)
    ports = [port, free_ports()[0]] if port else free_ports(2)
    command = [str(RUN_KAFKA), str(data / "kafka"), *map(str, ports), *formatting]
    variables = {"KAFKA_PROPERTIES": properties, "JDK_JAVA_OPTIONS": java}
    command = ["env", *(f"{name}={value}" for name, value in variables.items() if value), *command]
    with _running(Broker(command, ports[0], data / "broker.log", client), data, keep=data_dir is not None) as broker:
        yield broker


def fetch_kafka() -> None:
    """Have Maven fetch the jars, once per checkout (44 MB), so that a broker's start has no download in it.

    One process at a time: tests run in several, and one that came second would take the jars from under a broker.
    """
    lock = ROOT / "build" / "kafka.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run([str(RUN_KAFKA), "--fetch"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"could not fetch Apache Kafka:\n{done.stderr or done.stdout}")


if __name__ == "__main__" and (lacking := requirements()):
    print(f"Tests on Apache Kafka are {'refused' if os.environ.get('CI') else 'skipped'}: {lacking}")
    sys.exit(1 if os.environ.get("CI") else 0)
