"""What a trainer tells Prometheus. Every label has a closed set of values; ``version`` has one series at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from models.manifest import Verdict
from sie_online.announcements import Announcement
from sie_online.contracts import BUILTIN_MODEL, CODE_VERSION
from streams.observe.metrics import UNREADABLE_MODELS, ReadCounter

SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600)


class TrainingOutcome(StrEnum):
    """What became of a fine-tune. Whatever it was but ``accepted``: its net did not come into force."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """By the gate."""
    NOT_FINITE = "not_finite"
    EXPLODING_NORM = "exploding_norm"
    OUT_OF_MEMORY = "out_of_memory"
    UNFIT = "unfit"
    """The window cannot be trained on, or the net does not reproduce its own scores."""
    TOO_LONG = "too_long"
    STOPPED = "stopped"
    OVERTAKEN = "overtaken"
    """Somebody announced another version meanwhile."""
    UNREACHABLE = "unreachable"
    """Broker or store did not take it."""
    FAULT = "fault"
    """Of our own; the log has the traceback."""


REASONS = {
    "no evidence of gain": "no_gain",
    "NLL": "nll",
    "AUC": "auc",
    "GAUC": "gauc",
    "calibration": "calibration",
    "the effective sample size": "effective_size",
    "a weight": "weight_bounds",
    "mean f": "mean_f",
    "the importance": "not_finite",
    "the scored part": "too_few",
    "the net takes": "shape",
}
"""Label of a gate's reason by how its sentence begins."""
OTHER = "other"
GATE_FIGURES = {
    **{
        f"{kind}_{figure}": (kind, figure)
        for kind in ("candidate", "current", "uniform")
        for figure in ("nll", "auc", "gauc", "calibration", "effective_share")
    },
    **{f"gain_over_{name}": ("gain", name) for name in ("uniform", "uniform_lower", "current", "current_lower")},
}
"""Where the figures of a verdict stand in its report."""
NOISE_FIGURES = ("worst_auc", "median_auc", "innocent", "clean", "gain", "kept")


def reason_label(reason: str) -> str:
    """The bounded label of one of the gate's sentences."""
    return next((label for begin, label in REASONS.items() if reason.startswith(f"{begin} ")), OTHER)


class TrainerMetrics:
    """All metrics of one trainer, on a registry of their own. Methods may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._samples = self._counter("samples", "Settled samples read, by whether they were new.", "kind")
        self._unreadable = self._counter("unreadable_messages", "Messages of samples that could not be read.")
        self._intake_failures = self._counter("intake_failures", "Times that the samples topic could not be read.")
        self._window = self._gauge("window_samples", "Samples in the replay window, by what keeps them.", "kind")
        self._window_span = self._gauge("window_seconds", "Event time that the window spans, older positives aside.")
        self._fine_tunes = self._counter("fine_tunes", "Fine-tunes that ended, by outcome.", "outcome")
        self._priors = self._counter("priors", "Priors that were due, by what became of them.", "outcome")
        self._noise = self._counter("noise_fits", "Fits of the noise model that ended, by outcome.", "outcome")
        self._noise_seconds = self._histogram("noise_fit_seconds", "Time of a fit of the noise model, with its gate.")
        self._noise_running = self._gauge("noise_fit_running", "1 while the noise model is fitted.")
        self._noise_events = self._gauge("noise_fit_events", "Events that the latest noise model was fitted on.")
        self._noise_figures = self._gauge("noise_validation", "Figures of the latest noise model's gate.", "figure")
        self._verdicts = self._counter("gate_verdicts", "The gate's verdicts: passed, or why not.", "reason")
        self._withdrawals = self._counter("withdrawals", "Nets in force that fell behind uniform importance.")
        self._gate_figures = self._gauge("gate_figures", "Figures of the gate's newest verdict.", "figure")
        self._ended_at = self._gauge(
            "last_fine_tune_timestamp_seconds",
            "When the latest fine-tune ended, whatever became of it, s since 1970; 0 before the first.",
        )
        self._device = self._gauge("device_info", "What fine-tunes run on; always 1.", "device")
        self._seconds = self._histogram("fine_tune_seconds", "Time of a fine-tune, without the gate.")
        self._gate_seconds = self._histogram("gate_seconds", "Time of the gate.")
        self._running = self._gauge("fine_tune_running", "1 while a fine-tune runs.")
        self._epoch = self._gauge("fine_tune_pass", "Passes over the training part done by the latest fine-tune.")
        self._loss = self._gauge("loss", "Training loss of the latest pass.")
        self._speed = self._gauge("training_samples_per_second", "Of the latest pass.")
        self._figures = self._gauge("validation", "Validation figures of the latest candidate.", "figure")
        self._announcement = self._gauge("announcement", "Number of the newest announcement.", "model")
        self._announced_at = self._gauge("announced_timestamp_seconds", "When that was made, s since 1970.", "model")
        self._version = self._gauge("announced_info", "The version announced last; always 1.", "model", "version")
        self._versions: dict[str, str] = {}
        self._add_series()

    # -- samples

    def samples_read(self, new: int, repeated: int) -> None:
        """Rows of one message."""
        self._samples.labels("new").inc(new)
        self._samples.labels("repeated").inc(repeated)

    def samples_outdated(self, n: int) -> None:
        """Rows of a feature schema that is no longer in use."""
        self._samples.labels("outdated").inc(n)

    def messages_refused(self, n: int) -> None:
        """Messages could not be read."""
        self._unreadable.inc(n)

    def count_unreadable_models(self, read: Callable[[], int]) -> None:
        """Have ``read`` asked how many records of the models topic were passed over."""
        self.registry.register(ReadCounter("sie_trainer_model_records_unreadable", UNREADABLE_MODELS, read))

    def intake_failed(self) -> None:
        """The topic could not be read."""
        self._intake_failures.inc()

    def set_window(self, n: int, older: int, span_s: float) -> None:
        """What the window holds."""
        self._window.labels("recent").set(n - older)
        self._window.labels("older_positive").set(older)
        self._window_span.set(span_s)

    # -- fine-tunes

    def set_running(self, running: bool) -> None:
        """A fine-tune began or ended."""
        self._running.set(running)
        if running:
            self._epoch.set(0)

    def progress(self, epoch: int, loss: float, samples_per_s: float) -> None:
        """A pass was done."""
        self._epoch.set(epoch)
        self._loss.set(loss)
        self._speed.set(samples_per_s)

    def judged(self, seconds: float, gate_seconds: float, verdict: Verdict) -> None:
        """A candidate got its verdict; figures that the gate did not come to, or that are undefined, have no series."""
        self._seconds.observe(seconds)
        self._gate_seconds.observe(gate_seconds)
        for label in {reason_label(reason) for reason in verdict.reasons} or {"passed"}:
            self._verdicts.labels(label).inc()
        self._gate_figures.clear()
        for figure, (kind, name) in GATE_FIGURES.items():
            if (value := verdict.report.get(kind, {}).get(name)) is not None:
                self._gate_figures.labels(figure).set(value)

    def withdrawn(self) -> None:
        """The net in force was taken back."""
        self._withdrawals.inc()

    def set_validation(self, figures: dict[str, float | None]) -> None:
        """Figures of the latest candidate; those that are undefined are left out."""
        for name in ("nll", "auc", "target_correlation_unknown", "target_correlation_known"):
            if (value := figures.get(name)) is not None:
                self._figures.labels(name).set(value)

    def ended(self, outcome: TrainingOutcome, at_s: float) -> None:
        """A fine-tune ended at ``at_s`` (s since 1970)."""
        self._fine_tunes.labels(outcome).inc()
        self._ended_at.set(at_s)

    def runs_on(self, device: str) -> None:
        """Fine-tunes run on ``device``, one of torch's names."""
        self._device.clear()
        self._device.labels("cuda" if device.startswith("cuda") else "cpu").set(1)

    def priors_ended(self, outcome: TrainingOutcome) -> None:
        """Priors were due, and this became of them."""
        self._priors.labels(outcome).inc()

    # -- fits of the noise model

    def set_noise_running(self, running: bool) -> None:
        """A fit began or ended."""
        self._noise_running.set(running)

    def noise_judged(self, seconds: float, events: int, figures: Mapping[str, float | None]) -> None:
        """A candidate got its verdict; figures that are undefined are left out."""
        self._noise_seconds.observe(seconds)
        self._noise_events.set(events)
        for name in NOISE_FIGURES:
            if (value := figures.get(name)) is not None:
                self._noise_figures.labels(name).set(value)

    def noise_ended(self, outcome: TrainingOutcome) -> None:
        """A fit ended."""
        self._noise.labels(outcome).inc()

    # -- announcements

    def set_announced(self, model: str, newest: Announcement | None) -> None:
        """The newest announcement of ``model`` that there is."""
        version = newest.version if newest else BUILTIN_MODEL
        self._announcement.labels(model).set(newest.n if newest else 0)
        self._announced_at.labels(model).set(newest.created_at_ms / 1000 if newest else 0.0)
        if self._versions.get(model, version) != version:
            self._version.remove(model, self._versions[model])
        self._versions[model] = version
        self._version.labels(model, version).set(1)

    # -- definitions

    def _add_series(self) -> None:
        """At 0 from the start: a rate misses the step with which a series appears."""
        for outcome in TrainingOutcome:
            self._fine_tunes.labels(outcome)
            self._priors.labels(outcome)
            self._noise.labels(outcome)
        for reason in ("passed", *REASONS.values(), OTHER):
            self._verdicts.labels(reason)
        for kind in ("new", "repeated", "outdated"):
            self._samples.labels(kind)
        for kind in ("recent", "older_positive"):
            self._window.labels(kind)
        build = Gauge("sie_build_info", "The code that runs; always 1.", ["version"], registry=self.registry)
        build.labels(CODE_VERSION).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"sie_trainer_{name}_total", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"sie_trainer_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str) -> Histogram:
        return Histogram(f"sie_trainer_{name}", documentation, buckets=SECONDS, registry=self.registry)
