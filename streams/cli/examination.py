"""What ``sie evaluate`` looks into beyond the rows: whether the weights help, and what becomes of known pollution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from sie_online.behaviours import POLLUTING
from sie_online.errors import UsageError
from sie_online.evaluation.run import WEIGHTS_FILE, Listener, ModelSource
from sie_online.moments import span
from sie_online.settings import Settings
from streams.cli import examination_text as said
from streams.cli.common import err, out
from streams.cli.given_models import beginning
from streams.cli.progress import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.manifest import Manifest
    from sie_online.evaluation.compare.settled import Collector, Settled
    from sie_online.evaluation.compare.trial import Comparison
    from sie_online.evaluation.pollution.figures import Pollution
    from sie_online.evaluation.pollution.log import EventLog, LogCollector

REPORT_FILE = "report.html"
MIXTURE_COST = 1.7
"""Times of an evaluation that a mixture of the same log takes: it has more events, and is learned and scored."""


@dataclass(frozen=True, kw_only=True)
class ExaminationOptions:
    """A group for `streams.cli.options.with_groups`."""

    compare: Annotated[
        bool, typer.Option("--compare", help="Train learners with and without the weights: do they help?")
    ] = False
    pollute: Annotated[
        str | None,
        typer.Option(
            "--pollute",
            metavar="SEEDS",
            help="Mix random behaviours into the events and see what is found: 1 or 1,2,3.",
        ),
    ] = None
    families: Annotated[
        str | None,
        typer.Option("--families", metavar="NAMES", help="Of behaviours, for --pollute; else all that pollute."),
    ] = None


@dataclass
class Examination:
    """What was asked for, what listens meanwhile, and what was found."""

    settings: Settings
    directory: Path
    seeds: tuple[int, ...] = ()
    families: tuple[str, ...] = POLLUTING
    collector: Collector | None = None
    log: LogCollector | None = None
    comparison: Comparison | None = field(default=None, init=False)
    pollution: Pollution | None = field(default=None, init=False)

    @classmethod
    def asked(cls, settings: Settings, directory: Path, options: ExaminationOptions) -> Examination:
        """What the options ask for.

        Raises:
            UsageError: they are no seeds, there is no such family, or families are named and no seed.
        """
        if options.families is not None and options.pollute is None:
            raise UsageError("--families says what --pollute mixes in: give --pollute SEEDS, too")
        examination = cls(settings, directory, _seeds(options.pollute), _families(options.families))
        if options.compare:
            from sie_online.evaluation.compare.settled import Collector

            examination.collector = Collector()
        if examination.seeds:
            from sie_online.evaluation.pollution.log import LogCollector

            examination.log = LogCollector(settings)
        return examination

    @property
    def listeners(self) -> list[Listener]:
        """What is to listen to the evaluation."""
        return [each for each in (self.collector, self.log) if each is not None]

    def examine(
        self, partitions: int, started_ms: int, models: str | None, *, events_per_s: float | None
    ) -> Iterator[dict[str, Any]]:
        """Look into one thing after the other that was asked for, draw it into the folder, and yield it for the report.

        ``models``: the folder of the models that were announced; ``events_per_s``: of the evaluation, None where it did
        more than to evaluate.

        Raises:
            UsageError: there is too little to compare, or to mix into.
        """
        if self.collector is not None:
            self.comparison = self._compared(self.collector)
            self._draw()
            yield {"comparison": said.comparison_document(self.comparison)}
        if self.log is not None:
            log = self.log.log()
            self._announce(log, events_per_s)
            self.pollution = self._polluted(log, partitions, started_ms, models)
            self._draw()
            yield {"pollution": said.pollution_document(self.pollution)}

    def tell(self) -> None:
        """Print what was found."""
        if self.comparison is not None:
            for part in said.comparison_tables(self.comparison):
                out.print("", part, sep="\n")
        if self.pollution is not None:
            for part in said.pollution_tables(self.pollution):
                out.print("", part, sep="\n")
        if self.comparison is not None:
            out.print("", Text(self.comparison.verdict.sentence, style="bold"), sep="\n", soft_wrap=True)
        if self.listeners:
            err.print(f"Pictures are in {self.directory / REPORT_FILE}", soft_wrap=True)

    def _compared(self, collector: Collector) -> Comparison:
        from sie_online.evaluation.compare.accounts import established
        from sie_online.evaluation.compare.trial import compare

        def is_established(samples: Settled) -> NDArray[Any]:
            rows, kinds = self.directory / WEIGHTS_FILE, self.settings.labels.samples
            return established(rows, kinds, samples.partition, samples.offset)

        with progress("Compare", "trainings") as advance:
            return compare(collector.samples(), is_established, on_progress=advance)

    def _draw(self) -> None:
        from sie_online.evaluation.pictures.page import page

        (self.directory / REPORT_FILE).write_text(page(self.comparison, self.pollution), encoding="utf-8")

    def _announce(self, log: EventLog, events_per_s: float | None) -> None:
        """Say what is to be done, and about how long it takes."""
        count, events = len(self.seeds) * len(self.families), len(log.columns)
        what = f"{count} mixture{'s' if count > 1 else ''} of the newest {events:,} events with random behaviours"
        if events_per_s is not None:
            what += f", about {span(1_000 * max(1, round(MIXTURE_COST * count * events / events_per_s)))}"
        err.print(f"Pollute: {what} ...", soft_wrap=True)

    def _polluted(self, log: EventLog, partitions: int, started_ms: int, models: str | None) -> Pollution:
        from sie_online.evaluation.pollution.trial import Serving, pollute

        detector = _detector(models)
        with TemporaryDirectory(prefix=".detector-", dir=self.directory) as folder:

            def model_source() -> ModelSource | None:
                return None if detector is None else beginning(self.settings, Path(folder), detector)

            serving = Serving(self.settings, partitions, started_ms, self.directory, model_source)
            with progress("Pollute", "mixtures") as advance:
                return pollute(log, serving, self.seeds, self.families, on_progress=advance)


def _detector(models: str | None) -> tuple[bytes, Manifest] | None:
    """The noise model announced last; None: the default."""
    from sie_online.announcements import NOISE
    from streams.model_registry.recorded import newest_version, recorded

    if models is None:
        return None
    registered = recorded(Path(models))[0][NOISE]
    if registered.in_force(registered.newest) not in registered.manifests:
        return None
    return newest_version(Path(models), NOISE)


def _seeds(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise UsageError(
            f"--pollute {text}: write seeds as whole numbers with commas between them, as in --pollute 1,2,3"
        )
    return tuple(dict.fromkeys(map(int, numbers)))


def _families(text: str | None) -> tuple[str, ...]:
    if text is None:
        return POLLUTING
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in POLLUTING]:
        raise UsageError(f"--families: {', '.join(unknown)}: there are {', '.join(POLLUTING)}")
    return names
