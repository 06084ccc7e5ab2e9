"""The order of a stack: Kafka, topics, Prometheus, worker, trainer and sink, then events. Nothing of it outlives it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console

from deploy.stack.load import send_forever
from deploy.stack.plan import DEPLOY, WRITTEN, StackPlan, require
from deploy.stack.prometheus import configure
from sie_online.errors import UnreachableError, UsageError
from streams.demo.background import while_well
from streams.demo.children import ChildError, Children, listens, sie_command
from streams.demo.folder import held_folder
from streams.demo.plan import environment
from streams.demo.site import SiteClient
from streams.topics import create_topics

RUN_KAFKA = str(DEPLOY / "kafka" / "run.sh")
KAFKA_READY_S = 120.0  # a cold JVM on a busy machine
WORKER_READY_S = 600.0  # the first start compiles the kernels
COMMIT_EVERY_S = 5
LOOK_EVERY_S = 0.5

T = TypeVar("T")


def run_stack(plan: StackPlan, console: Console, act: Callable[[], Awaitable[T]]) -> T:
    """Start everything in ``plan.directory``, do ``act`` while it runs, and stop it again.

    Raises:
        UsageError: a program is missing, or another stack runs in the same folder.
        ChildError: one of its processes ended by itself; the message carries the end of its log.
    """
    require()
    _fetch_kafka()
    with held_folder(plan.directory, "stack", WRITTEN), Children() as children:
        stage = _Stage(plan, children, console)
        return asyncio.run(while_well(stage.play(act), stage.watch_children()))


def _fetch_kafka() -> None:
    """Have its jars here before anything starts: they are downloaded once."""
    fetched = subprocess.run([RUN_KAFKA, "--fetch"], stdin=subprocess.DEVNULL, check=False)  # noqa: S603 - our script
    if fetched.returncode:
        raise UsageError("Apache Kafka could not be fetched: Maven's words are above")


@dataclass
class _Stage:
    """The processes of one stack, by the order in which they start."""

    plan: StackPlan
    children: Children
    console: Console

    async def play(self, act: Callable[[], Awaitable[T]]) -> T:
        """From nothing to the end of ``act``."""
        await self._start_kafka()
        self._start("prometheus", configure(self.plan))
        await self._start_workers()
        return await while_well(_awaited(act), send_forever(self.plan.settings, self.plan.rate))

    async def watch_children(self) -> None:
        """Raise ChildError as soon as one has ended."""
        while True:
            self.children.check()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _start_kafka(self) -> None:
        self.console.print("Starting Apache Kafka ...")
        ports = self.plan.ports
        self._start("kafka", [RUN_KAFKA, str(self.plan.directory / "kafka"), str(ports.kafka), str(ports.controller)])

        async def created() -> bool:
            if not listens(ports.kafka):
                return False
            try:
                await create_topics(self.plan.settings)
            except UnreachableError:
                return False
            return True

        await _until(created, KAFKA_READY_S, "Apache Kafka does not answer")

    async def _start_workers(self) -> None:
        self.console.print("Starting worker, trainer and sink (the first time kernels are compiled: half a minute) ...")
        self._start("worker", sie_command("worker"))
        self._start("trainer", sie_command("trainer"))
        self._start("sink", sie_command("sink", *self._to_lake()))
        await _until(SiteClient(self.plan.settings).ready, WORKER_READY_S, "the worker does not get ready")

    def _to_lake(self) -> list[str]:
        """The sink's options; it commits often, since somebody watches."""
        return ["--to", self.plan.lake, "--every", f"{COMMIT_EVERY_S}s", "--metrics-port", str(self.plan.ports.sink)]

    def _start(self, name: str, command: list[str]) -> None:
        log = self.plan.directory / f"{name}.log"
        self.children.start(name, command, log, environment(self.plan.settings))


async def _awaited(act: Callable[[], Awaitable[T]]) -> T:
    return await act()


async def _until(holds: Callable[[], Awaitable[bool]], limit_s: float, otherwise: str) -> None:
    deadline = time.monotonic() + limit_s
    while not await holds():
        if time.monotonic() > deadline:
            raise ChildError(f"{otherwise} within {limit_s:g} s")
        await asyncio.sleep(LOOK_EVERY_S)
