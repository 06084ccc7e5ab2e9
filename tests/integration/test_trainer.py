"""The trainer as a process on the embedded broker: what it announces, what it survives, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.manifest import Manifest
from sie_online.announcements import NOISE
from sie_online.importance.noise.model import default_noise
from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate
from streams.model_registry import artifacts
from streams.model_registry.history import read_registered
from streams.model_registry.noises import noise_in_force
from streams.store import open_store
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay
from tests.support.brokers import Broker
from tests.support.noise_fits import LENIENT_GATE, QUICK_NOISE
from tests.support.topic_io import make_topics
from tests.support.trainers import outcome, page, registered_net, running
from tests.support.versions import LENIENT, TINY, publish_samples, two_partitions
from tests.support.waiting import until

SettingsFactory = Callable[..., Settings]


@pytest.fixture
def at(broker: Broker, settings: SettingsFactory) -> SettingsFactory:
    """Factory of settings for a quick trainer, with topics of this test's own."""

    def make(**trainer: Any) -> Settings:
        made = settings(broker=broker.address, topics={"partitions": 2}, trainer=TINY | trainer)
        make_topics(made)
        return made

    return make


def test_settled_samples_become_an_announced_net(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(**LENIENT)
    publish_samples(settings, two_partitions(1200))
    with running(settings, tmp_path) as trainer:
        assert outcome(trainer) == "accepted"
        said = registered_net(settings)
        manifest = Manifest.from_json(said.manifests[said.in_force(1)])
        assert artifacts.load(open_store(settings.store), manifest).w1.size
        assert manifest.gate is not None
        assert manifest.gate.passed
        assert set(manifest.train_offsets) == {"0", "1"}
        metrics = page(trainer, "/metrics")
        assert 'sie_trainer_fine_tunes_total{outcome="accepted"} 1.0' in metrics
        assert 'sie_trainer_device_info{device="' in metrics
        assert 'sie_trainer_gate_figures{figure="gain_over_uniform"}' in metrics
        assert 'sie_trainer_announcement{model="net"} 1.0' in metrics
        assert 'sie_trainer_samples_total{kind="new"} 1200.0' in metrics
        assert json.loads(page(trainer, "/readyz"))["ready"]
        publish_samples(settings, two_partitions(1200))  # a replay says all of it again
        publish_samples(settings, two_partitions(2000).slice(1200))
        assert outcome(trainer, 2) == "accepted"
        later = registered_net(settings)
        assert Manifest.from_json(later.manifests[later.in_force(2)]).parent == manifest.version
        began = time.monotonic()
        assert trainer.stop() == 0
        assert time.monotonic() - began < 5
    runs = [name for name in open_store(settings.store).list("models/net/runs") if "tfevents" in name]
    assert len(runs) == 2


def test_the_newest_events_become_an_announced_noise_model(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(noise=QUICK_NOISE | {"gate": LENIENT_GATE})
    asyncio.run(replay(settings, simulate(Scenario(events=4_000, seed=3)).chunks(), ReplayRate.parse("max")))
    with running(settings, tmp_path) as trainer:
        accepted = 'sie_trainer_noise_fits_total{outcome="accepted"} 1.0'
        until(lambda: accepted in page(trainer, "/metrics"), "a noise model", 180)
        said = asyncio.run(read_registered(settings, NOISE))
        version = said.in_force(1)
        assert f'sie_trainer_announced_info{{model="noise",version="{version}"}} 1.0' in page(trainer, "/metrics")
        assert json.loads(page(trainer, "/status.json"))["noise"]["version"] == version
    manifest = Manifest.from_json(said.manifests[version])
    assert set(manifest.train_offsets) == {"0", "1"}
    assert set(said.announcements[1].offsets) == {0, 1}
    assert noise_in_force(open_store(settings.store), said, version) is not default_noise()


def test_a_restarted_trainer_goes_on_from_what_was_announced(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(**LENIENT)
    publish_samples(settings, two_partitions(1200))
    with running(settings, tmp_path, "first") as trainer:
        assert outcome(trainer) == "accepted"
        trainer.kill()
    with running(settings, tmp_path, "second") as trainer:
        assert outcome(trainer) == "accepted"
        assert f"from={registered_net(settings).in_force(1)}" in trainer.text()
    assert registered_net(settings).newest == 2


def test_a_refused_candidate_is_kept_and_not_announced(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(gate={"min_positives": 100_000})
    publish_samples(settings, two_partitions(1200))
    with running(settings, tmp_path) as trainer:
        assert outcome(trainer) == "refused"
        assert 'sie_trainer_gate_verdicts_total{reason="too_few"} 1.0' in page(trainer, "/metrics")
    assert registered_net(settings).newest == 0
    backend = open_store(settings.store)
    (version,) = artifacts.stored(backend)
    verdict = artifacts.read_manifest(backend, version).gate
    assert verdict is not None
    assert not verdict.passed


def test_an_exploding_norm_ends_the_fine_tune_and_nothing_else(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(fine_tune=TINY["fine_tune"] | {"largest_norm": 1e-9})
    publish_samples(settings, two_partitions(1200))
    with running(settings, tmp_path) as trainer:
        assert outcome(trainer) == "exploding_norm"
        publish_samples(settings, two_partitions(2000).slice(1200))
        assert outcome(trainer, 2) == "exploding_norm"
    assert registered_net(settings).newest == 0
    assert artifacts.stored(open_store(settings.store)) == []


def test_a_net_that_training_breaks_is_given_up_and_nothing_else_is(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(fine_tune=TINY["fine_tune"] | {"learning_rate": 1e25, "epochs": 3})
    publish_samples(settings, two_partitions(1200))
    with running(settings, tmp_path) as trainer:
        assert outcome(trainer) in ("not_finite", "exploding_norm")
    assert registered_net(settings).newest == 0


def test_a_corrupt_newest_artifact_is_not_gone_on_from(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(**LENIENT)
    publish_samples(settings, two_partitions(1200))
    with running(settings, tmp_path, "first") as trainer:
        assert outcome(trainer) == "accepted"
        trainer.stop()
    version = registered_net(settings).in_force(1)
    file = Path(settings.store.removeprefix("file://")) / artifacts.artifact_name(version)
    file.write_bytes(file.read_bytes()[:-100])
    with running(settings, tmp_path, "second") as trainer:
        assert outcome(trainer) == "accepted"
        assert "cannot be loaded, and is not gone on from" in trainer.text()
    said = registered_net(settings)
    assert Manifest.from_json(said.manifests[said.in_force(2)]).parent is None


def test_a_store_that_vanishes_announces_nothing_until_it_is_back(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(**LENIENT)
    with running(settings, tmp_path) as trainer:
        trainer.wait_for("samples read")
        store = Path(settings.store.removeprefix("file://"))
        moved = store.with_name("away")
        store.rename(moved)
        store.write_text("a file where the folder was")
        publish_samples(settings, two_partitions(1200))
        assert outcome(trainer) == "unreachable"
        assert registered_net(settings).newest == 0
        store.unlink()
        moved.rename(store)
        publish_samples(settings, two_partitions(2000).slice(1200))
        assert outcome(trainer, 2) == "accepted"
    assert registered_net(settings).newest == 1


def test_of_two_trainers_the_older_ends_with_a_sentence(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(**LENIENT)
    with running(settings, tmp_path, "older") as older:
        older.wait_for("samples read")
        with running(settings, tmp_path, "newer") as newer:
            newer.wait_for("samples read")
            assert older.exit_code(20) == 78
            assert "another trainer" in older.text()
            publish_samples(settings, two_partitions(1200))
            assert outcome(newer) == "accepted"
    assert registered_net(settings).newest == 1


def test_sigterm_amid_a_fine_tune_ends_it_within_five_seconds(at: SettingsFactory, tmp_path: Path) -> None:
    settings = at(**LENIENT, fine_tune=TINY["fine_tune"] | {"epochs": 1000, "patience": 1000})
    publish_samples(settings, two_partitions(3000))
    with running(settings, tmp_path) as trainer:
        trainer.wait_for(r"fine-tuning: .*epoch=3")
        read = page(trainer, "/metrics")
        assert "sie_trainer_fine_tune_running 1.0" in read
        publish_samples(settings, two_partitions(3600).slice(3000))
        trainer.until(
            lambda: 'samples_total{kind="new"} 3600.0' in page(trainer, "/metrics"), "samples read meanwhile", 20
        )
        began = time.monotonic()
        assert trainer.stop() == 0
        assert time.monotonic() - began < 5
    assert registered_net(settings).newest == 0
    assert artifacts.stored(open_store(settings.store)) == []


def test_a_child_ends_when_whoever_started_it_is_gone(at: SettingsFactory, tmp_path: Path) -> None:
    import subprocess

    from tests.support.environment import as_environment

    settings = at()
    program = (
        "import sys, time; from streams.trainer.child import TrainerChild, trainer_command\n"
        "child = TrainerChild(trainer_command()); child.start()\n"
        "while child.pid is None: time.sleep(.05)\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with (tmp_path / "log").open("wb") as errors:
        parent = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=as_environment(settings),
        )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    until(lambda: "samples read" in (tmp_path / "log").read_text(), "trainer at work", 60)
    assert os.getpriority(os.PRIO_PROCESS, pid) >= settings.trainer.nice
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until(lambda: not _alive(pid), "end of the child", 10)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
