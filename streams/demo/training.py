"""The trainer's part in a demo: waiting for its fine-tunes, and showing that a poisoned candidate is refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from sie_online.announcements import NET
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import SieError
from sie_online.settings import Settings
from streams.demo.children import sie_command
from streams.demo.plan import environment
from streams.demo.site import samples_of
from streams.model_registry import artifacts
from streams.store import LocalStore

FINE_TUNES = 3
"""As many at least are waited for."""
WAIT_S = 300.0  # torch alone takes a busy machine a minute to import
LOOK_EVERY_S = 0.5
POISON, POISON_BIAS = -40.0, -60.0
"""The last layer is multiplied and shifted by these: nearly all weight then lies on the few samples that the net held
for the least useful."""


@dataclass(frozen=True)
class Trained:
    """What became of the net during a demo.

    ``under_net`` is the share of samples and conversions that were first weighed under an announced net,
    ``mean_change`` the mean factor by which the net then raised or lowered a weight. ``refusal`` is why the gate
    refused the newest of those that it refused: most likely there was no evidence of gain. ``accepted_early`` nets
    were announced before the last part of the stream was sent.
    """

    fine_tunes: int
    accepted: int
    accepted_early: int
    refused: int
    failed: int
    versions_seen: list[str]
    under_net: float
    mean_change: float | None
    refusal: list[str]
    poisoned_refused: bool
    poisoned_reasons: list[str]

    @property
    def problems(self) -> list[str]:
        """What should not be."""
        found = []
        if self.fine_tunes < FINE_TUNES:
            found.append(f"{self.fine_tunes} fine-tunes in {WAIT_S:g} s, at least {FINE_TUNES} were expected")
        if self.accepted_early and not self.versions_seen:
            found.append("a net was announced, but no row was weighed under it")
        if not self.poisoned_refused:
            found.append("the gate let a poisoned candidate pass")
        return found


async def outcomes(settings: Settings) -> Counter[str]:
    """Fine-tunes so far, by outcome; none if the trainer does not answer."""
    web, found = settings.trainer.web, Counter[str]()
    for sample in await samples_of(f"http://{web.host}:{web.port}"):
        if sample.name == "sie_trainer_fine_tunes_total":
            found[sample.labels["outcome"]] += int(sample.value)
    return found


async def enough_fine_tunes(settings: Settings) -> Counter[str]:
    """The outcomes once there are ``FINE_TUNES``, or when that takes too long."""
    deadline = time.monotonic() + WAIT_S
    while (await outcomes(settings)).total() < FINE_TUNES and time.monotonic() < deadline:  # noqa: ASYNC110 - as above
        await asyncio.sleep(LOOK_EVERY_S)
    return await outcomes(settings)


async def first_verdict(settings: Settings, on_wait: Callable[[], None]) -> int:
    """How many nets were announced when a fine-tune has ended, or when that takes too long.

    ``on_wait`` is called all the while.
    """
    deadline = time.monotonic() + WAIT_S
    while not (await outcomes(settings)).total() and time.monotonic() < deadline:
        on_wait()
        await asyncio.sleep(LOOK_EVERY_S)
    return (await outcomes(settings))["accepted"]


async def conclude(
    settings: Settings, store: Path, versions: NDArray[Any], log_influence: NDArray[np.float64], accepted_early: int
) -> Trained:
    """Wait for the fine-tunes, submit a poisoned candidate, and sum up.

    ``versions`` and ``log_influence`` are by event: the model version of revision 0 and its factor (NaN: none).
    """
    ended = await enough_fine_tunes(settings)
    refusal = _newest_refusal(store)
    reasons = await _submit_poisoned(settings, store)
    weighed = ~np.isnan(log_influence)
    under = weighed & (versions != BUILTIN_MODEL) & (versions != "")
    return Trained(
        fine_tunes=ended.total(),
        accepted=ended["accepted"],
        accepted_early=accepted_early,
        refused=ended["refused"],
        failed=ended.total() - ended["accepted"] - ended["refused"],
        versions_seen=sorted(set(versions[under].tolist())),
        under_net=float(under.sum() / max(1, weighed.sum())),
        mean_change=float(np.exp(np.abs(log_influence[under]).mean())) if under.any() else None,
        refusal=refusal,
        poisoned_refused=reasons is not None,
        poisoned_reasons=reasons or [],
    )


def _newest_refusal(store: Path) -> list[str]:
    """Why the newest of the refused nets was; nothing where there is none."""
    kept = LocalStore(store)
    for version in sorted(artifacts.stored(kept), reverse=True):
        verdict = artifacts.read_manifest(kept, version).gate
        if verdict is not None and not verdict.passed:
            return list(verdict.reasons)
    return []


async def _submit_poisoned(settings: Settings, store: Path) -> list[str] | None:
    """Why the gate refuses a poisoned copy of the newest net; None if it does not.

    Raises:
        SieError: there is no net to poison, or the candidate could not be judged.
    """
    nets = sorted((store / "models" / NET).glob("*.safetensors"))
    if not nets:
        raise SieError("the trainer has not made a single net; its lines are in worker.log")
    tensors = load_file(nets[-1])
    tensors["heads.weight"] = tensors["heads.weight"] * np.float32(POISON)
    tensors["heads.bias"] = tensors["heads.bias"] + np.float32(POISON_BIAS)
    file = store.parent / "poisoned.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if not name.startswith("canary.")}, file)
    command = sie_command("model", "submit", str(file), "--json")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(settings), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode not in (0, 1):
        raise SieError(f"the poisoned candidate could not be judged: {complaint.decode(errors='replace')[-500:]}")
    reasons: list[str] = json.loads(output)["reasons"]
    return reasons if process.returncode else None
