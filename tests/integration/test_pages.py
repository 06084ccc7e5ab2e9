"""The pages of worker and trainer in a real browser: what a person on call sees, and what a hostile id cannot do."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from models.manifest import Verdict
from sie_online.announcements import NET, Announcement
from sie_online.client.availability import Availability
from sie_online.settings import Settings, TrainerWeb, load
from sie_online.unpacking import FramedRows
from streams.model_registry.registry import empty_registry
from streams.observe.broker_metrics import watch_broker
from streams.observe.metrics import Metrics
from streams.observe.page.models import Adopted, ModelStory, model_stories
from streams.observe.samples import MetricSamples
from streams.observe.web import WorkerHealth, WorkerSite
from streams.trainer.metrics import TrainerMetrics
from streams.trainer.site import TrainerHealth, TrainerSite
from streams.trainer.status import TrainerParts, trainer_status
from tests.support.browser import NARROW, Browser, chromium
from tests.support.metrics import busy
from tests.support.rows import weight_batch, weight_row
from tests.support.samples import made_manifest
from tests.support.versions import new_version

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
AWAY_S = 730.0
ACCEPTED, REFUSED = new_version(), new_version()


class BackgroundLoop:
    """An event loop in a thread of its own, for sites that a browser asks while the test waits for the browser."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        """What ``what`` returns."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Stories:
    """Announced: a net; refused: another, for a hostile reason."""

    def stories(self, adopted: dict[str, Adopted]) -> list[ModelStory]:
        registry = empty_registry()
        gain: dict[str, float | None] = {"uniform": 0.0012, "uniform_lower": 0.0003, "users": 812.0}
        accepted = made_manifest(version=ACCEPTED, gate=Verdict(True, (), {"gain": gain}))
        registry[NET].manifests[ACCEPTED] = accepted.to_json().encode()
        registry[NET].announcements[3] = Announcement(
            n=3, version=ACCEPTED, offsets={0: 12_345}, reason="publish", created_at_ms=1_700_000_000_000
        )
        refused = {NET: [made_manifest(version=REFUSED, gate=Verdict(False, (f"no gain over {HOSTILE}",)))]}
        return model_stories(registry, refused, adopted)

    async def look(self) -> None:
        """There is nothing more to learn."""


@dataclass
class WorkerPage:
    """A worker's site with the metrics of a busy worker; what the test may change is how it is, and the ``clock``."""

    metrics: Metrics
    availability: Availability
    clock: list[float]
    recovered: bool = True
    starting: str = ""

    def health(self) -> WorkerHealth:
        """Of this worker, as of whenever it is asked."""
        return WorkerHealth(
            stalled_s=lambda: 0.0,
            assigned=lambda: True,
            recovered=lambda: self.recovered,
            agents_running=lambda: True,
            reason=lambda: self.starting or self.availability.reason,
            input_partitions=lambda: 2,
        )


@pytest.fixture(scope="module")
def background() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@contextmanager
def served(background: BackgroundLoop, worker: WorkerPage, settings: Settings) -> Iterator[WorkerSite]:
    """Its site, with the timers that a worker has."""

    async def start() -> WorkerSite:
        site = WorkerSite(settings, worker.metrics.registry, worker.health(), Stories())
        await site.start()
        return site

    site = background.run(start())
    try:
        yield site
    finally:
        background.run(site.stop())


@pytest.fixture
def settings() -> Settings:
    return load({"web": {"port": 0}, "broker": "kafka-1:9092"})


@pytest.fixture
def worker(settings: Settings) -> WorkerPage:
    metrics, clock = Metrics(settings), [time.time() - AWAY_S]
    for partition in (0, 1):
        busy(metrics, partition)
        metrics.set_lag(partition, 3, 2.5)
    availability = Availability(settings, lambda: clock[0], lambda: clock[0])
    watch_broker(metrics.registry, availability)
    return WorkerPage(metrics, availability, clock)


@pytest.fixture
def site(background: BackgroundLoop, worker: WorkerPage, settings: Settings) -> Iterator[WorkerSite]:
    with served(background, worker, settings) as found:
        yield found


def offer(background: BackgroundLoop, site: WorkerSite, *rows: dict[str, Any]) -> None:
    """Publish ``rows`` as the line does."""

    async def offered() -> None:
        site.showcase.offer(FramedRows.of(weight_batch(*rows)))

    background.run(offered())


def take(background: BackgroundLoop, site: WorkerSite, times: Sequence[float]) -> None:
    """Have the page's history look at the metrics as if it were these times."""

    async def taken() -> None:
        for at in times:
            site.history.take(MetricSamples(site.registry), at)

    background.run(taken())


@contextmanager
def trainer_served(background: BackgroundLoop) -> Iterator[TrainerSite]:
    """A trainer's site, in the middle of a fine-tune."""
    settings, metrics = load({}), TrainerMetrics()
    metrics.set_running(True)
    metrics.progress(2, 0.3125, 9_000.0)
    metrics.set_window(48_000, 2_000, 7_200.0)
    availability = Availability(settings)
    watch_broker(metrics.registry, availability)
    parts = TrainerParts(
        announced=empty_registry(),
        models=Stories().stories({}),
        fresh=1_234,
        fine_tune_s=30.0,
        fine_tuned="refused",
        noise_s=None,
        noise_fitted=None,
        reason="",
        announcer=True,
        caught_up=True,
    )
    health = TrainerHealth(lambda: True, dict, lambda: trainer_status(settings, MetricSamples(metrics.registry), parts))
    site = TrainerSite(TrainerWeb(port=0), metrics.registry, health)
    background.run(site.start())
    try:
        yield site
    finally:
        background.run(site.stop())


def background_of(browser: Browser) -> float:
    """Luminance of the page's ground, 0 to 255."""
    colour = str(browser.run("return getComputedStyle(document.body).backgroundColor"))
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


# -- what a person on call reads


def test_a_worker_at_work_says_so_first(browser: Browser, site: WorkerSite) -> None:
    browser.show(site.url)
    browser.until_text("#sentence", "Working: 2 of 2 partitions, 2 s behind.")
    assert (browser.text("#alive"), browser.text("#ready")) == ("alive", "ready")
    assert browser.run("return document.title").startswith("Working")
    aloud = browser.run("return document.querySelector('[aria-live=polite]').textContent")
    assert aloud.startswith("Working: 2 of 2 partitions")


def test_an_outage_is_told_in_words_and_that_nothing_is_lost(
    browser: Browser, worker: WorkerPage, site: WorkerSite
) -> None:
    worker.clock[0] += AWAY_S
    worker.availability.failed(TimeoutError())
    worker.metrics.forget_lag()
    browser.show(site.url)
    sentence = browser.until_text("#sentence", "has not answered since")
    assert sentence.startswith("The broker kafka-1:9092 has not answered since ")
    assert sentence.endswith(" UTC (12 min).")
    assert "Nothing is lost; it goes on by itself" in browser.text("#advice")
    assert browser.text("#lag") == "unknown"
    assert browser.text("#ready") == "not ready"


def test_starting_and_recovering_are_told_while_they_last(
    browser: Browser, worker: WorkerPage, site: WorkerSite
) -> None:
    worker.starting = "compiling kernels (50 of at most 250)"
    browser.show(site.url)
    browser.until_text("#sentence", "Compiling kernels (50 of at most 250).")
    worker.starting, worker.recovered = "", False
    browser.until_text("#sentence", "Recovering: ")


def test_a_worker_that_has_gone_is_told_and_what_it_said_stays(
    browser: Browser, background: BackgroundLoop, worker: WorkerPage, settings: Settings
) -> None:
    with served(background, worker, settings) as site:
        browser.show(site.url)
        browser.until_text("#sentence", "Working")
    browser.until_text("#sentence", "No answer since ")
    assert browser.text("#partitions").count("2.5 s") == 2
    browser.complaints()  # that loads failed is what this is about


def test_quality_noise_models_and_partitions_are_all_there(
    browser: Browser, background: BackgroundLoop, worker: WorkerPage, site: WorkerSite
) -> None:
    busy(worker.metrics, 0)
    take(background, site, [time.time()])
    browser.show(site.url)
    browser.until_text("#quality", "0.")
    assert "log loss" in browser.text("#quality")
    assert "lower than without" in browser.until_text("#verdict", "recommender")
    assert browser.text("#noise tbody").split() == ["view", "270", "3.3", "%", "0.050"]
    net = browser.until_text("[data-model=net]", ACCEPTED)
    assert "A learner's log loss is 0.0012 lower than with uniform importance, at least 0.0003" in net
    assert "In force in all 2 partitions here." in net
    assert (
        len(browser.run("return [...document.querySelectorAll('#partitions tbody tr')].map(row => row.innerText)")) == 2
    )
    assert browser.run("return document.querySelectorAll('#weights rect').length") == 24
    assert browser.text("#dead").endswith("%")


def test_curves_are_drawn_and_said(browser: Browser, background: BackgroundLoop, site: WorkerSite) -> None:
    take(background, site, [time.time() - 10 * step for step in range(60, 0, -1)])
    browser.show(site.url)
    browser.until_text("#curve-strength figcaption", "0.25")
    label = browser.run("return document.querySelector('#curve-strength svg[role=img]').getAttribute('aria-label')")
    assert label == "Strength of the weights: 0.25 now, between 0.25 and 0.25 in the last hour"
    assert browser.run("return document.querySelector('#curve-lag path.line').getTotalLength()") > 100


# -- ids


def test_a_hostile_id_is_text_and_nothing_else(browser: Browser, background: BackgroundLoop, site: WorkerSite) -> None:
    offer(
        background,
        site,
        *(weight_row(n, weight=0.05, f_noise=math.log(0.05), user_id=HOSTILE, item_id=HOSTILE) for n in range(9)),
        weight_row(9, event_id=HOSTILE, user_id="\u202eevil"),
    )
    browser.show(site.url)
    browser.until_text("#users", HOSTILE[:40])
    browser.until_text("#example", HOSTILE[:40])
    assert "\\u202eevil" in browser.text("#example")
    assert browser.run("return document.querySelectorAll('main img').length") == 1  # the page's own sign
    assert browser.run("return document.querySelectorAll('script').length") == 1
    assert "owned" not in browser.run("return document.title")


def test_the_policy_would_stop_what_text_alone_does_not(browser: Browser, site: WorkerSite) -> None:
    browser.show(site.url)
    browser.until_text("#sentence", "Working")
    browser.complaints()
    ran = """
        const script = document.createElement("script");
        try { script.text = "document.title = 'owned'"; document.body.append(script); } catch { }
        try { document.querySelector("#example").innerHTML = "<b id=made>made</b>"; } catch { }
        return [document.title, document.querySelector("#made")]
    """
    title, made = browser.run(ran)
    assert "owned" not in title
    assert made is None
    assert any("Content Security Policy" in each or "TrustedHTML" in each for each in browser.complaints())


# -- everybody can read it


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_follows_the_readers_light(browser: Browser, site: WorkerSite, dark: bool) -> None:
    browser.show(site.url, dark=dark)
    browser.until_text("#sentence", "Working")
    assert (background_of(browser) < 60) is dark
    assert (background_of(browser) > 200) is not dark


def test_nothing_is_cut_off_on_a_phone(browser: Browser, background: BackgroundLoop, site: WorkerSite) -> None:
    offer(background, site, *(weight_row(n, weight=0.1, f_noise=-2.3, user_id="u" * 200) for n in range(5)))
    with trainer_served(background) as trainer:
        for url, selector in ((site.url, "#users"), (trainer.url, "#models")):
            browser.show(url, width=NARROW)
            browser.until_text(selector, lambda text: len(text) > 40)
            assert browser.run("return document.documentElement.scrollWidth") <= NARROW


def test_terms_are_explained_to_the_keyboard_too(browser: Browser, site: WorkerSite) -> None:
    browser.show(site.url)
    browser.until_text("#quality", "calibration")
    browser.run("document.querySelector('[data-term=calibration]').focus()")
    assert browser.text("#tip").startswith("Conversions predicted over conversions that came.")
    described = "return document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent"
    assert browser.run(described) == browser.text("#tip")
    browser.press("Escape")
    assert browser.run("return document.querySelector('#tip').hidden")
    browser.run("document.querySelector('#terms').parentElement.open = true")
    browser.until_text("#terms", "Conversions predicted over conversions that came.")


# -- the trainer's


def test_a_trainer_says_what_it_does_and_what_was_refused(browser: Browser, background: BackgroundLoop) -> None:
    with trainer_served(background) as trainer:
        browser.show(trainer.url)
        browser.until_text("#sentence", "Fine-tuning for 30 s: 2 of 6 passes done, loss 0.3125.")
        assert browser.text("#window").startswith("48,000")
        browser.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        net = browser.until_text("[data-model=net]", REFUSED)
        assert f"no gain over {HOSTILE}" in net
        assert browser.run("return document.querySelectorAll('main img').length") == 1


def test_nothing_was_loaded_from_elsewhere_and_nothing_was_complained_of(
    browser: Browser, background: BackgroundLoop, site: WorkerSite
) -> None:
    browser.complaints()
    browser.origins()
    with trainer_served(background) as trainer:
        for url in (site.url, trainer.url):
            browser.show(url)
            browser.until_text("#models", ACCEPTED)
        assert browser.origins() == {site.url, trainer.url}
    assert browser.complaints() == []
