"""The order of a demo: broker, topics, worker, stream, and when all is weighed, the figures.

The processes end with the demo, whatever happens, and everything it writes lies in one folder.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial

from rich.console import Console

from sie_online.client.subscriber import WeightSubscriber
from sie_online.errors import UnreachableError
from sie_online.ingest.partitioner import Placer
from sie_online.ingest.wire import Chunk
from sie_online.metrics import quantiles
from sie_online.settings import Settings
from sie_online.simulator import Simulation, simulate
from streams.demo.background import in_background, while_well
from streams.demo.broker_side import BrokerSide, open_log
from streams.demo.children import ChildError, Children, broker_command, free_port, listens, sie_command
from streams.demo.folder import held_folder
from streams.demo.learners import compare, warm_up
from streams.demo.observer import HEADLINE, Observer
from streams.demo.picture import draw
from streams.demo.plan import DemoPlan, environment
from streams.demo.report import QUANTILES, DemoReport
from streams.demo.site import SiteClient
from streams.demo.training import LOOK_EVERY_S, Trained, conclude, first_verdict
from streams.demo.view import DemoDisplay, DemoState
from streams.tools.pacing import ReplayRate
from streams.tools.replay import Replayed, replay
from streams.topics import create_topics

BROKER_READY_S = 30.0
WORKER_READY_S = 600.0  # the first start compiles the kernels
STALLED_S = 60.0  # after the last record, without any progress
WRITTEN = (
    "broker", "store", "report.json", "report.png", "broker.log", "worker.log", "poisoned.safetensors",
)  # fmt: skip
FIRST_SHARE = (
    0.75  # of the stream, by then a part of its samples has settled; the rest is weighed under a net that passed
)


def run_demo(plan: DemoPlan, own: Settings, console: Console) -> DemoReport:
    """Run a demo in ``plan.directory`` and write ``report.json`` and ``report.png`` there.

    ``own`` are the person's settings; those that shape rows apply.

    Raises:
        ChildError: broker or worker ended by itself, or stopped working; the message carries the end of its log.
        UsageError: another demo runs in the same folder, or the embedded broker is not installed.
    """
    with held_folder(plan.directory, "demo", WRITTEN), Children() as children:
        stage = _Stage(plan, own, children, console)
        return asyncio.run(stage.play())


class _Stage:
    """The parts of one demo and what they know of each other."""

    def __init__(self, plan: DemoPlan, own: Settings, children: Children, console: Console) -> None:
        port = free_port()
        self._plan = plan
        self._children = children
        self._settings = plan.settings(own, f"127.0.0.1:{port}", free_port(), free_port())
        self._port = port
        self._site = SiteClient(self._settings)
        self._state = DemoState(total=plan.events)
        self._view = DemoDisplay(console, self._state)
        self._accepted_early = 0

    async def play(self) -> DemoReport:
        """From nothing to the report."""
        self._view.say(f"Status page: {self._site.address}/ (answers as soon as the worker is up)")
        with self._view.shown():
            return await while_well(self._act(), self._watch_children())

    async def _act(self) -> DemoReport:
        simulating = in_background(self._prepare)
        await self._start_broker()
        await self._start_worker()
        simulation = await simulating
        self._state.total = len(simulation)
        observer = Observer(simulation.truth)
        begin = time.monotonic()
        async with open_log(self._settings) as log:
            stream = self._stream(simulation, log)
            sent = await while_well(stream, self._subscribe(observer), self._look(observer, log))
            seconds = time.monotonic() - begin - self._state.waited_s
            trained = await self._trained(observer)
            self._phase("Training a small recommender with and without the weights")
            report = await self._conclude(simulation, observer, log, sent, seconds, trained)
        await in_background(partial(draw, report, observer, self._plan.directory / "report.png"))
        report.write(self._plan.directory / "report.json")
        return report

    # -- set-up

    def _prepare(self) -> Simulation:
        """What can be done while others start: compiling what we need ourselves, and making the stream."""
        Placer(self._settings.topics.partitions)
        warm_up()
        return simulate(self._plan.scenario)

    async def _start_broker(self) -> None:
        self._phase("Starting the embedded broker")
        folder = self._plan.directory
        self._children.start("broker", broker_command(self._port, folder / "broker"), folder / "broker.log")

        async def created() -> bool:
            if not listens(self._port):
                return False
            try:
                await create_topics(self._settings)
            except UnreachableError:
                return False
            return True

        await self._until(created, BROKER_READY_S, "the broker does not answer")

    async def _start_worker(self) -> None:
        self._phase("Starting the worker (the first time it compiles its kernels, which takes half a minute)")
        log = self._plan.directory / "worker.log"
        command = sie_command("worker", *(["--with-trainer"] if self._plan.trainer else []))
        self._children.start("worker", command, log, environment(self._settings))
        await self._until(self._site.ready, WORKER_READY_S, "the worker does not get ready")

    async def _until(self, holds: Callable[[], Awaitable[bool]], limit_s: float, otherwise: str) -> None:
        deadline = time.monotonic() + limit_s
        while not await holds():
            if time.monotonic() > deadline:
                raise ChildError(f"{otherwise} within {limit_s:g} s; its log is in {self._plan.directory}")
            self._view.tick()
            await asyncio.sleep(LOOK_EVERY_S / 2)

    # -- the stream

    async def _stream(self, simulation: Simulation, log: BrokerSide) -> Replayed:
        sent = await self._send(simulation)
        await self._until_weighed(sent, log)
        return sent

    async def _send(self, simulation: Simulation) -> Replayed:
        self._phase("Streaming")
        self._state.sending_since = time.monotonic()

        def note(records: int, _share: float) -> None:
            self._state.sent = records

        rate, chunks = ReplayRate(self._plan.rate), simulation.chunks()
        already = 0
        if self._plan.trainer:
            first = await replay(self._settings, _up_to(FIRST_SHARE, chunks), rate, flush=False, on_progress=note)
            already = first.records
            await self._wait_for_verdict()
        rest = await replay(
            self._settings, chunks, rate, flush=True, on_progress=lambda records, share: note(already + records, share)
        )
        self._state.sending_until = time.monotonic()
        return replace(rest, records=already + rest.records)

    async def _wait_for_verdict(self) -> None:
        self._phase("Waiting for the trainer's first net and its verdict")
        begin = time.monotonic()

        def note() -> None:
            self._state.waited_s = time.monotonic() - begin

        self._accepted_early = await first_verdict(self._settings, note)
        note()
        self._phase("Streaming on")

    async def _subscribe(self, observer: Observer) -> None:
        """What a training job would do."""
        async with WeightSubscriber(self._settings) as subscriber:
            async for batch in subscriber.batches():
                observer.take(batch)

    async def _look(self, observer: Observer, log: BrokerSide) -> None:
        state = self._state
        while True:
            state.weighted, state.final = observer.weighted, observer.final
            state.histogram = observer.histogram().tolist()
            state.found = observer.found_by_kind()
            state.lag = (await self._site.figures()).lag
            state.dead_letters = await log.dead_letters()
            self._view.tick()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _until_weighed(self, sent: Replayed, log: BrokerSide) -> None:
        """Until the group has no lag and the subscriber has caught up with what the worker counts."""
        self._phase("Letting the last windows mature")
        moved, before = time.monotonic(), (-1, -1, -1, -1)
        while True:
            counted, lag = (await self._site.figures()).outcomes, await log.lag()
            now = (counted.total(), self._state.weighted, self._state.final, -1 if lag is None else lag)
            done = counted.total() >= sent.records + sent.heartbeats and lag == 0
            if done and self._state.weighted >= counted["weighted"] and now == before:
                return
            if now != before:
                moved, before = time.monotonic(), now
            if time.monotonic() - moved > STALLED_S:
                raise ChildError(f"nothing has moved for {STALLED_S:g} s; logs are in {self._plan.directory}")
            await asyncio.sleep(LOOK_EVERY_S)

    # -- the end

    async def _trained(self, observer: Observer) -> Trained | None:
        if not self._plan.trainer:
            return None
        self._phase("Letting the trainer finish; then it gets a poisoned candidate to judge")
        store = self._plan.directory / "store"
        return await conclude(self._settings, store, observer.version, observer.log_influence, self._accepted_early)

    async def _conclude(
        self,
        simulation: Simulation,
        observer: Observer,
        log: BrokerSide,
        sent: Replayed,
        seconds: float,
        trained: Trained | None,
    ) -> DemoReport:
        counted, planted = (await self._site.figures()).outcomes, simulation.counts_by_kind()
        log_influence = observer.log_influence if trained and trained.versions_seen else None
        events_in = sent.records + sent.heartbeats
        return DemoReport(
            events_in=events_in,
            events_weighted=observer.weighted,
            duplicates=counted["duplicate"],
            duplicates_planted=simulation.duplicates,
            heartbeats=counted["heartbeat"],
            dead_letters=await log.dead_letters(),
            dead_letters_planted=simulation.malformed,
            noise_auc=observer.found(*HEADLINE),
            noise_auc_by_kind=observer.found_by_kind(),
            noise_planted_by_kind={kind: count for kind, count in planted.items() if kind != "clean"},
            lag_end=await log.lag() or 0,
            events_per_s=events_in / seconds,
            seconds=seconds,
            rate_asked=self._plan.rate,
            seed=self._plan.seed,
            weight_quantiles=quantiles(observer.weight, QUANTILES),
            models=await in_background(partial(compare, simulation, observer.weight, observer.label, log_influence)),
            net=trained,
            settings_fingerprint=self._settings.fingerprint(),
        )

    def _phase(self, name: str) -> None:
        self._state.phase = name
        self._view.tick()

    async def _watch_children(self) -> None:
        """Raise ChildError as soon as one has ended."""
        while True:
            self._children.check()
            await asyncio.sleep(LOOK_EVERY_S)


def _up_to(share: float, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The ``chunks`` until ``share`` of the stream has gone by; the others stay in the iterator."""
    for chunk in chunks:
        yield chunk
        if chunk.progress >= share:
            return
