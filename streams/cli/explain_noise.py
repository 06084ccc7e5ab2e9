"""What ``sie explain`` says of the noise model: which version judged, and which evidence moved it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from sie_online.announcements import NOISE
from sie_online.client.rows import WeightRow
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import SieError
from sie_online.escape import safe
from sie_online.settings import Settings
from streams.cli.common import out
from streams.cli.explain_text import bar
from streams.cli.progress import progress
from streams.cli.text import figure
from streams.model_registry.history import read_registry
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.noises import noise_in_force
from streams.observe.metrics import Metrics
from streams.store import open_store
from streams.tools.noise import Judge, MovedOpinion, head_number, judge_of, moved, recomputed_evidence

SIGNALS_SHOWN = 8


@dataclass(frozen=True)
class NoiseExplained:
    """What is known; ``unknown`` is the sentence that says why the rest is not."""

    judge: Judge | None = None
    moved: MovedOpinion | None = None
    unknown: str = ""

    def document(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "noise_model": asdict(self.judge) if self.judge else None,
            "noise_evidence": asdict(self.moved) if self.moved else None,
            "noise_unknown": self.unknown or None,
        }


def noise_opinion(settings: Settings, first: WeightRow, *, evidence: bool) -> NoiseExplained:
    """Of the event that ``first`` is revision 0 of; with ``evidence`` also what moved the model."""
    try:
        registry = asyncio.run(read_registry(settings))
    except SieError as error:
        return NoiseExplained(unknown=str(error))
    judge = judge_of(registry, first)
    if not evidence:
        return NoiseExplained(judge)
    store = open_store(settings.store)
    loaded = LoadedModels(settings, store, registry, Metrics(settings))
    try:
        with progress("Processing the log anew", "records") as advance:
            found = asyncio.run(recomputed_evidence(settings, first, registry, loaded.get, advance))
    except LookupError as error:
        return NoiseExplained(judge, unknown=f"announced model {error} cannot be loaded from {settings.store}")
    except SieError as error:
        return NoiseExplained(judge, unknown=str(error))
    model = noise_in_force(store, registry[NOISE], judge.version)
    return NoiseExplained(judge, moved(model, found, head_number(settings, first.event_type)))


def show_noise(found: NoiseExplained) -> None:
    """Print it."""
    if found.judge is not None:
        default = found.judge.version == BUILTIN_MODEL
        which = "the default" if default else f"{safe(found.judge.version)}, announcement {found.judge.announcement}"
        out.print(f"noise model at the event: {which}")
    if found.moved is not None:
        out.print(f"what moved it, as of a {found.moved.head} (its additive half):", _signals(found.moved))
    if found.unknown:
        out.print(f"more of the noise model is not known: {safe(found.unknown)}", soft_wrap=True)


def _signals(found: MovedOpinion) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("signal")
    for title in ("in scales", "logit"):
        table.add_column(title, justify="right")
    table.add_column("lowers │ raises", justify="left", no_wrap=True)
    shown = [each for each in found.signals[:SIGNALS_SHOWN] if each.logit]
    largest = max((abs(each.logit) for each in shown), default=0.0)
    for each in shown:
        table.add_row(each.name, figure(each.value), f"{each.logit:+.3f}", bar(each.logit, largest))
    rest = sum(each.logit for each in found.signals[len(shown) :])
    table.add_row(f"{len(found.signals) - len(shown)} others", "", f"{rest:+.3f}", bar(rest, largest))
    return table
