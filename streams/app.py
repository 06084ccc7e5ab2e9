"""The Faust app of a worker: ``faust -A streams.app worker``, or ``sie worker``.

Owns the wiring and Faust's settings, each on purpose; what is processed, and when it is durable, is ``Worker``'s.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.types import AppT
from mode import ServiceT

from sie_online.client.availability import Availability
from sie_online.errors import SieError
from sie_online.settings import Settings, load
from streams.checkpoint import CheckpointStore
from streams.checkpoint.decisions import Overrides
from streams.exits import FAULT, before_death, code_of, die
from streams.extensions import check_extensions
from streams.model_registry.board import ModelBoard
from streams.observe import logs
from streams.observe.broker_metrics import watch_broker
from streams.observe.metrics import Metrics
from streams.observe.trainer_watch import TrainerWatch
from streams.observe.web import WorkerHealth, WorkerSite
from streams.query import QueryApi
from streams.store import open_store
from streams.transport import SCHEME, Consumer, RebalanceListener
from streams.transport.schema import BatchSchema
from streams.worker.adoption import Adoptions
from streams.worker.lag import LogWatch
from streams.worker.preflight import check_before_joining
from streams.worker.publisher import Publisher
from streams.worker.restore import Ownership
from streams.worker.service import Worker
from streams.worker.startup import prepare
from streams.worker.watchdog import Vitals, WatchdogThread

log = logging.getLogger(__name__)

BUFFERED_BATCHES = 1024  # batches are bounded in bytes; a small number here would starve partitions
NEVER_S = 86_400.0  # for limits of Faust's that we have our own watchdog for


class Boot(BootStrategy):
    """What Faust starts: the consumer, the agent and what they need. No web, no producer, no topics of its own."""

    enable_web = False  # wins over the CLI, which switches the web on by itself: 0.0.0.0:6066, unauthenticated
    enable_kafka_producer = False  # ours is ``Publisher``; Faust's keeps no delivery we could wait for

    def kafka_consumer(self) -> Iterable[ServiceT]:
        """The consumer alone: no leader election and no replies, whose topics nobody asked for."""
        return [self.app.consumer]


class FaustWorker(faust.Worker):
    """Faust's process wrapper, with our log and a hard limit on the shutdown."""

    def __init__(self, app: AppT, *services: ServiceT, **kwargs: Any) -> None:
        kwargs |= {"override_logging": False, "redirect_stdouts": False, "quiet": True}
        super().__init__(app, *services, **kwargs)
        self.spinner = None

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        cast(App, self.app).shutting_down()
        super()._schedule_shutdown(signal)

    def _setproctitle(self, info: str, *, ident: str = "") -> None:
        """Leave the process's name alone."""


class App(faust.App):
    """The worker's app. ``settings`` are the deployment's; Faust's own are derived from them."""

    mundane_level = "debug"
    BootStrategy = Boot

    def __init__(self, settings: Settings, overrides: Overrides) -> None:
        super().__init__(settings.group, **faust_settings(settings))
        self.settings = settings
        self.overrides = overrides
        self.vitals = Vitals()
        self.availability = Availability(settings)
        self.metrics = Metrics(settings)
        self.store = CheckpointStore(settings, settings.topics.events)
        watch_broker(self.metrics.registry, self.availability)
        self.publisher = Publisher(settings)
        adoptions = Adoptions(settings, self.publisher, self.metrics)
        board = ModelBoard(adoptions.registry, open_store(settings.store))
        self.site = WorkerSite(settings, self.metrics.registry, self._health(), board)
        self.ownership = Ownership(settings, self.store, overrides, adoptions.loaded.version)
        self.worker = Worker(
            settings,
            store=self.store,
            ownership=self.ownership,
            publisher=self.publisher,
            adoptions=adoptions,
            metrics=self.metrics,
            vitals=self.vitals,
            showcase=self.site.showcase,
        )
        self.queries: QueryApi | None = None
        if settings.api.enabled:
            self.queries = QueryApi(settings, self.worker.leases, self.store, adoptions.registry, self.metrics)
        self.rebalance_listener: RebalanceListener = self.worker.assignment
        self.log_watch = LogWatch(
            settings,
            self.worker.leases,
            vitals=self.vitals,
            metrics=self.metrics,
            publisher=self.publisher,
            availability=self.availability,
        )
        self.metrics.watch_unacked_bytes(lambda: self.publisher.unacked_bytes)
        self._starting = "starting"
        self.on_before_shutdown.connect(self._finish)

    # -- life

    def on_init_dependencies(self) -> Iterable[ServiceT]:
        """The publisher early: it starts before, and stops after, everything that has something to say."""
        self.worker.consumer.attach(cast(Consumer, self.consumer))
        queries = [self.queries] if self.queries else []
        return [self.site, *queries, self.publisher, self.worker, self.log_watch, *super().on_init_dependencies()]

    def _health(self) -> WorkerHealth:
        return WorkerHealth(
            stalled_s=self.vitals.stalled_s,
            assigned=lambda: self.worker.assignment.assigned,
            recovered=lambda: self.worker.assignment.recovered,
            agents_running=lambda: self.worker.processing.running,
            reason=lambda: self._starting or self.availability.reason,
            input_partitions=lambda: self.store.input_partitions,
        )

    async def start(self) -> None:
        """Start everything; what cannot start ends the process with its own code."""
        try:
            await super().start()
        except SieError as error:
            die(error.exit_code, str(error))

    async def on_first_start(self) -> None:
        """Check everything there is to check before the group is joined; the site answers meanwhile."""
        logs.set_up(self.settings.log_level)
        try:
            await self.site.maybe_start()
            if self.queries is not None:
                await self.queries.maybe_start()
            await asyncio.to_thread(prepare, self.settings, self._set_starting)
            await check_before_joining(self.settings, self.store, self.ownership)
        except SieError as error:
            die(error.exit_code, str(error))
        self._set_starting("")
        before_death(cast(Consumer, self.consumer).thread.leave)
        WatchdogThread(self.vitals, self.settings.watchdog, self.availability).start()

    def _set_starting(self, stage: str) -> None:
        """What the start is at; empty when it is over."""
        self._starting = stage

    async def _finish(self, *_: Any, **__: Any) -> None:
        """Faust has stopped the flow and not yet left the group: the last checkpoints."""
        if self.crash_reason is None:
            await self.worker.finish()

    def shutting_down(self) -> None:
        """From now on the watchdog counts; a worker that has not begun yet has nothing to end."""
        if self._starting:
            die(0, f"told to stop while {self._starting}")
        if self.vitals.stopping_since is None:
            self.vitals.stopping_since = self.vitals.awake

    def _crash(self, reason: BaseException) -> None:
        """A service has failed. Faust would take its time, run every ``on_stop``, perhaps restart it: end here."""
        code = code_of(reason)
        if code == FAULT:
            log.error("a service failed", exc_info=reason)
        die(code, str(reason) if isinstance(reason, SieError) else f"a service failed: {reason!r}")

    def _create_directories(self) -> None:
        """None: our state is in the store."""


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Faust's settings. Its defaults are for another kind of job: tables, one event at a time, topics of its own."""
    kafka = settings.kafka
    return {
        "broker": [f"{SCHEME}://{address.strip()}" for address in settings.broker.split(",")],
        "autodiscover": False,
        "origin": "streams.app",
        "Worker": FaustWorker,
        "logging_config": logs.config(settings.log_level),
        "worker_redirect_stdouts": False,
        # the consumer is built from our settings (FetchThread); these are what Faust itself reads of them
        "broker_session_timeout": kafka.session_timeout_s,
        "broker_heartbeat_interval": kafka.heartbeat_interval_s,
        "broker_rebalance_timeout": kafka.rebalance_timeout_s,
        # Faust bounds a restore by this, and past it idles without a word; the watchdog's deadline comes first
        "broker_request_timeout": settings.watchdog.restore_s + settings.watchdog.progress_s,
        "broker_max_poll_records": kafka.max_poll_records,
        "broker_commit_interval": NEVER_S,  # we commit at checkpoints
        "broker_commit_livelock_soft_timeout": NEVER_S,  # the detector only logs; ours ends the process
        "stream_processing_timeout": NEVER_S,
        "consumer_auto_offset_reset": "none",
        "consumer_group_instance_id": settings.instance_id or None,
        "stream_buffer_maxsize": BUFFERED_BATCHES,
        "stream_wait_empty": False,  # batches of a lost epoch are dropped, not waited for
        "stream_recovery_delay": 0.0,
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_replication_factor": settings.topics.replication,
        "topic_partitions": settings.topics.partitions,
        "reply_create_topic": False,
        "producer_request_timeout": kafka.request_timeout_s,  # 1,200 s by default
        "web_enabled": False,
    }


def create_app(settings: Settings, overrides: Overrides | None = None) -> App:
    """The app of one worker process; nothing is connected, opened or started yet.

    Raises:
        SettingsError: a setting is refused.
    """
    check_extensions(settings)
    app = App(settings, overrides or Overrides())
    topic = app.topic(
        settings.topics.events,
        schema=BatchSchema(),
        acks=False,  # Faust must neither acknowledge nor commit: what is done is what a checkpoint covers
        internal=False,
    )
    app.agent(topic, name="shards", concurrency=1)(app.worker.processing.run)
    return app


def serve(settings: Settings, overrides: Overrides, trainer_restarts: Callable[[], int] | None = None) -> None:
    """Run one worker in this process, until it is told to stop; ``trainer_restarts`` is of a trainer beside it.

    Raises:
        SieError: it cannot start.
    """
    logs.set_up(settings.log_level)
    app = create_app(settings, overrides)
    if trainer_restarts is not None:
        app.metrics.watch_trainer(trainer_restarts)
        app.site.trainer = TrainerWatch(settings.trainer.web, trainer_restarts)
    app.finalize()
    app.worker_init()
    worker = FaustWorker(app, loglevel=settings.log_level)
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        if ended.code:
            die(FAULT, "Faust's worker failed; the lines above say where")
        if app.vitals.stopping_since is None:  # a cancellation that nobody meant passes for an end as wished
            die(FAULT, "Faust's worker ended without being told to")


_app: App | None = None


def __getattr__(name: str) -> Any:
    """``app``, made when it is first asked for, so that importing this module reads no settings."""
    global _app
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _app is None:
        try:
            _app = create_app(load())
        except SieError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(error.exit_code) from None
    return _app
