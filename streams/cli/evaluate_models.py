"""Which models ``sie evaluate`` has in force: fitted beside the events, given to begin with, or repeated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sie_online.errors import UsageError
from sie_online.evaluation.run import BATCH_RECORDS, ModelSource
from sie_online.moments import moment
from sie_online.settings import Settings
from streams.cli import noise_text
from streams.cli.common import err
from streams.cli.given_models import beginning, repeated

if TYPE_CHECKING:
    from models.manifest import Manifest
    from streams.trainer.offline import FineTuned, OfflineTrainer


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """A group for `streams.cli.options.with_groups`."""

    trainer: Annotated[
        bool, typer.Option("--trainer", help="Fit noise model and importance net beside the events; adopt what passes.")
    ] = False
    noise_fit: Annotated[
        bool | None,
        typer.Option(
            "--noise-fit/--no-noise-fit", help="Fit the noise model beside the events; as --trainer unless said."
        ),
    ] = None
    noise_model: Annotated[
        Path | None,
        typer.Option(
            "--noise-model", metavar="DIR", help="Begin with the noise model that 'sie fit-noise' left in DIR."
        ),
    ] = None
    adopt_after: Annotated[
        int, typer.Option(metavar="M", min=1, help="An announced net applies M offsets later, in every partition.")
    ] = BATCH_RECORDS
    models: Annotated[
        str | None, typer.Option(metavar="DIR", help="Repeat what --trainer announced in DIR; 'live': the broker's.")
    ] = None

    @property
    def fits_noise(self) -> bool:
        """Whether the noise model is to be fitted."""
        return self.trainer if self.noise_fit is None else self.noise_fit

    @property
    def trains(self) -> bool:
        """Whether anything is to be fitted."""
        return self.trainer or self.fits_noise

    def refuse_contradictions(self) -> None:
        """Refuse options that do not go together.

        Raises:
            UsageError: there are such.
        """
        if self.models is not None and (self.trainer or self.noise_fit or self.noise_model is not None):
            raise UsageError("--trainer, --noise-fit and --noise-model announce and --models repeats: choose one")

    def overrides(self) -> dict[str, Any]:
        """What they say of the settings."""
        return {} if self.fits_noise else {"trainer": {"noise": {"enabled": False}}}

    def require_torch(self) -> None:
        """Refuse where something is to be fitted and cannot.

        Raises:
            UsageError: torch is not installed.
        """
        if self.trains:
            from streams.trainer.process import require_torch

            require_torch()

    def in_force(self, settings: Settings, directory: Path) -> ModelsInForce:
        """The models they ask for; what is announced lies in ``directory``.

        Raises:
            UsageError: a model that is to be begun with, or repeated, is not there or cannot be read.
        """
        begin_with = None if self.noise_model is None else noise_text.given(self.noise_model)
        announced = str(directory)
        if self.trains:
            training = _training(settings, directory, self.adopt_after, begin_with, net=self.trainer)
            return ModelsInForce(training, announced, training)
        if self.models is not None:
            return ModelsInForce(repeated(settings, self.models), self.models)
        if begin_with is not None:
            return ModelsInForce(beginning(settings, directory, begin_with), announced)
        return ModelsInForce()


@dataclass(frozen=True)
class ModelsInForce:
    """Where the models come from; all None: the built-in ones."""

    source: ModelSource | None = None
    announced: str | None = None
    """The folder of their announcements, or ``live``."""
    training: OfflineTrainer | None = None
    """The source, where it fits them."""


def _training(
    settings: Settings, directory: Path, adopt_after: int, begin_with: tuple[bytes, Manifest] | None, *, net: bool
) -> OfflineTrainer:
    from streams.store import LocalStore
    from streams.trainer.offline import OfflineTrainer
    from streams.trainer.process import limit_threads

    limit_threads(settings)
    store = LocalStore(directory)
    training = OfflineTrainer(
        settings,
        store,
        adopt_after=adopt_after,
        net=net,
        on_begin=_show_begin,
        on_end=_show_end,
        on_noise_begin=noise_text.show_begin,
        on_noise_end=noise_text.show_end,
    )
    if begin_with is not None:
        training.begin_with(*begin_with)
    return training


def _show_begin(begun: FineTuned) -> None:
    size = f"{begun.samples:,} samples, {begun.positives:,} positive"
    err.print(f"Fine-tune {begun.number} at {moment(begun.clock_ms)}: {size} ...", soft_wrap=True)


def _show_end(done: FineTuned) -> None:
    accepted = done.outcome == "accepted"
    what = f"accepted as {done.version}" if accepted else "; ".join((f"{done.outcome}", *done.reasons))
    if done.withdrawn:
        what += f"; the net in force is withdrawn: {'; '.join(done.withdrawn)}"
    err.print(f"Fine-tune {done.number}: {what} ({done.seconds:.0f} s)", soft_wrap=True)
