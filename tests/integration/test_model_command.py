"""``sie model`` on the embedded broker: what a script reads, what the gate refuses, how a rollback is announced."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from models.forward import tensors_of
from sie_online.settings import Settings
from streams.cli import root as cli
from streams.model_registry import artifacts
from streams.model_registry.announcer import Announcer
from streams.store import open_store
from tests.support.brokers import Broker
from tests.support.environment import as_environment
from tests.support.samples import made_weights
from tests.support.topic_io import make_topics
from tests.support.versions import LENIENT, TINY, made_version, publish_samples, two_partitions

SettingsFactory = Callable[..., Settings]


class ModelDeployment:
    """Settings of a test's own, and ``sie model`` under them."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings = settings
        self.store = open_store(settings.store)
        self._capsys = capsys
        for name, value in as_environment(settings).items():
            if name.startswith("SIE_"):
                monkeypatch.setenv(name, value)

    def sie(self, *arguments: str) -> tuple[int, Any]:
        """Exit code, and what was written to stdout: JSON where that was asked for."""
        self._capsys.readouterr()
        code = cli.run(["model", *arguments])
        printed = self._capsys.readouterr()
        if "--json" in arguments and code in (0, 1):
            return code, json.loads(printed.out)
        return code, printed.out + printed.err

    def announce(self, n: int) -> list[str]:
        """``n`` versions, one after the other."""
        return asyncio.run(self._announce(n))

    async def _announce(self, n: int) -> list[str]:
        announcer = Announcer(self.settings, self.store)
        await announcer.start()
        try:
            said = [await announcer.publish(*made_version(seed=i), judged_at=i) for i in range(n)]
        finally:
            await announcer.stop()
        return [one.version for one in said]


@pytest.fixture
def at(
    broker: Broker,
    settings: SettingsFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., ModelDeployment]:
    def make(**trainer: Any) -> ModelDeployment:
        made = settings(broker=broker.address, topics={"partitions": 2}, trainer=TINY | trainer)
        make_topics(made)
        return ModelDeployment(made, monkeypatch, capsys)

    return make


def test_list_show_and_diff_tell_what_was_announced(at: Callable[..., ModelDeployment]) -> None:
    here = at()
    code, before = here.sie("list", "--json")
    assert (code, [entry["state"] for entry in before]) == (0, ["in force"])  # no net yet: builtin
    first, second = here.announce(2)
    refused, manifest = made_version(seed=7)
    artifacts.keep(here.store, refused, manifest)
    code, found = here.sie("list", "--json")
    states = {entry["version"]: entry["state"] for entry in found}
    assert states == {
        first: "announced",
        second: "in force",
        manifest.version: "not announced",
        "builtin": "before any",
    }
    code, shown = here.sie("show", "current", "--json")
    assert (shown["version"], shown["artifact"], shown["manifest"]["version"]) == (second, "sound", second)
    assert [said["n"] for said in shown["announcements"]] == [2]
    code, apart = here.sie("diff", first, second[-8:], "--json")
    assert apart["versions"] == [first, second]
    assert apart["tensors"]["heads.weight"]["relative_distance"] > 0
    assert here.sie("list")[0] == here.sie("diff", first, second)[0] == here.sie("show", "builtin")[0] == 0
    code, text = here.sie("show", "nothing-like-it")
    assert (code, "is no version" in text) == (2, True)


def test_rollback_announces_the_version_before_and_any_that_is_named(at: Callable[..., ModelDeployment]) -> None:
    here = at()
    code, text = here.sie("rollback")
    assert (code, "nothing to roll back" in text) == (78, True)
    first, second = here.announce(2)
    code, said = here.sie("rollback", "--json")
    assert (code, said["n"], said["version"], said["reason"]) == (0, 3, first, "rollback")
    assert all(offset > 0 for offset in said["offsets"].values())
    code, said = here.sie("rollback", second, "--now", "--json")
    assert (code, said["version"], said["offsets"]) == (0, second, {"0": 0, "1": 0})
    code, said = here.sie("rollback", "builtin", "--json")
    assert (code, said["version"]) == (0, "builtin")


def test_a_rollback_to_what_no_worker_could_load_is_refused(at: Callable[..., ModelDeployment]) -> None:
    here = at()
    first, _ = here.announce(2)
    here.store.delete(artifacts.artifact_name(first))
    code, text = here.sie("rollback", first)
    assert (code, "no worker could load it" in text) == (78, True)
    data, manifest = made_version(seed=7)
    artifacts.keep(here.store, data, manifest)
    code, text = here.sie("rollback", manifest.version)
    assert (code, "was never announced" in text) == (2, True)


def test_a_candidate_that_passes_is_announced(at: Callable[..., ModelDeployment], tmp_path: Path) -> None:
    here = at(**LENIENT)
    publish_samples(here.settings, two_partitions(1200))
    flat = made_weights()._replace(w3=np.zeros_like(made_weights().w3), b3=np.zeros(2, np.float32))
    file = tmp_path / "candidate.safetensors"
    safetensors_numpy.save_file(tensors_of(flat), file)
    code, verdict = here.sie("submit", str(file), "--json")
    assert (code, verdict["passed"], verdict["reasons"]) == (0, True, [])
    assert verdict["announcement"]["n"] == 1
    assert here.sie("show", verdict["version"], "--json")[1]["artifact"] == "sound"


def _poisoned(file: Path, kind: str) -> None:
    weights = made_weights()
    if kind == "not a number":
        weights.w2[3, 3] = np.nan
    if kind == "runaway weights":
        weights = weights._replace(w3=weights.w3 * 500)
    if kind == "no net":
        file.write_bytes(b"something else")
    else:
        safetensors_numpy.save_file(tensors_of(weights), file)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("not a number", "not finite"),
        ("runaway weights", "a weight k f / mean f"),
        ("no net", "no safetensors file"),
    ],
)
def test_a_poisoned_candidate_is_refused_kept_and_never_announced(
    at: Callable[..., ModelDeployment], tmp_path: Path, kind: str, reason: str
) -> None:
    here = at()
    publish_samples(here.settings, two_partitions(1200))
    file = tmp_path / "candidate.safetensors"
    _poisoned(file, kind)
    code, verdict = here.sie("submit", str(file), "--json")
    assert (code, verdict["passed"], verdict["announcement"]) == (1, False, None)
    assert reason in " ".join(verdict["reasons"])
    (entry, _) = here.sie("list", "--json")[1]
    assert (entry["version"], entry["state"], entry["stored"]) == (verdict["version"], "refused", True)
    code, text = here.sie("submit", str(file))
    assert (code, "refused" in text) == (1, True)


def test_a_submission_with_its_manifest_must_be_what_that_says(
    at: Callable[..., ModelDeployment], tmp_path: Path
) -> None:
    here = at(**LENIENT)
    publish_samples(here.settings, two_partitions(1200))
    data, manifest = made_version()
    file = tmp_path / "candidate.safetensors"
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    file.with_suffix(".json").write_text(manifest.to_json())
    code, verdict = here.sie("submit", str(file), "--json")
    assert (code, "SHA-256" in verdict["reasons"][0]) == (1, True)
    assert here.sie("submit", str(tmp_path / "nowhere.safetensors"))[0] == 2


def test_without_samples_nothing_is_judged(at: Callable[..., ModelDeployment], tmp_path: Path) -> None:
    here = at()
    file = tmp_path / "candidate.safetensors"
    safetensors_numpy.save_file(tensors_of(made_weights()), file)
    code, text = here.sie("submit", str(file))
    assert (code, "nothing to judge by" in text) == (2, True)
