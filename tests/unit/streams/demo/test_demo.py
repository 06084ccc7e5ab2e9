"""The demo's parts without processes: the plan, what is shown, how noise and learners are judged, and the books."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from sie_online.contracts import weights_schema
from sie_online.errors import UsageError
from sie_online.settings import Settings, load
from sie_online.simulator import Scenario, simulate
from streams.demo.learners import Score, compare
from streams.demo.observer import Observer
from streams.demo.picture import draw
from streams.demo.plan import EVENTS, PARTITIONS, SECONDS, DemoPlan, environment
from streams.demo.report import DemoReport
from streams.demo.training import Trained
from streams.demo.view import DemoDisplay, DemoState
from tests.support.rows import weight_batch, weight_row

SCORE = Score(0.9, 0.3, 0.4, 0.7, 100, 10)
REPORT = DemoReport(
    events_in=1_034, events_weighted=1_000, duplicates=10, duplicates_planted=10, heartbeats=4, dead_letters=20,
    dead_letters_planted=20, noise_auc=0.95, noise_auc_by_kind={"bots": 0.96, "brushing": None},
    noise_planted_by_kind={"bots": 100}, lag_end=0, events_per_s=500.0, seconds=2.0, rate_asked=600.0, seed=0,
    weight_quantiles={"0.5": 1.0}, models={"uniform": SCORE, "weighted": SCORE}, net=None, settings_fingerprint="f",
)  # fmt: skip


def batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    """Rows of sie.weights.v1 with what matters here; the rest is filler."""
    schema = weights_schema("t")
    filler = {field.name: "x" if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type) else 0
              for field in schema} | {"final": False, "label": None, "error": None}  # fmt: skip
    return pa.RecordBatch.from_pylist([filler | row for row in rows], schema=schema)


@pytest.mark.parametrize(
    ("rate", "seconds", "events", "expected"),
    [
        (None, None, None, (EVENTS, EVENTS / SECONDS)),
        (3_000, None, None, (EVENTS, 3_000)),
        (None, 20, None, (EVENTS, EVENTS / 20)),
        (500, 10, None, (5_000, 500)),
        (None, 10, 2_000, (2_000, 200)),
    ],
)
def test_any_two_of_rate_seconds_and_events_give_the_third(
    rate: float | None, seconds: float | None, events: int | None, expected: tuple[int, float]
) -> None:
    plan = DemoPlan.of(rate, seconds, events, 0, Path("x"), trainer=False)
    assert (plan.events, plan.rate) == expected


def test_contradicting_figures_are_refused() -> None:
    with pytest.raises(UsageError, match="contradict"):
        DemoPlan.of(1_000, 10, 50_000, 0, Path("x"))


def test_settings_that_shape_rows_reach_the_worker_and_those_of_ones_own_kafka_do_not(
    settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIE_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("SIE_KAFKA__SASL_USERNAME", "me")
    own = settings(importance={"factors": ["noise"], "k": 2.0}, labels={"window_s": 3_600})
    shared = DemoPlan.of(None, None, None, 0, tmp_path).settings(own, "127.0.0.1:15999", 15_998, 15_997)
    for name in [name for name in os.environ if name.startswith("SIE_")]:
        monkeypatch.delenv(name)
    child = environment(shared)
    for name, text in child.items():
        if name.startswith("SIE_"):
            monkeypatch.setenv(name, text)
    seen = load()
    assert seen == shared
    assert (seen.importance.factors, seen.importance.k, seen.labels.window_s) == (("noise",), 2.0, 3_600)
    assert (seen.kafka.security_protocol, seen.topics.partitions) == ("PLAINTEXT", PARTITIONS)
    assert seen.store == (tmp_path / "store").as_uri()


def test_the_observer_judges_each_kind_among_clean_events_of_its_type() -> None:
    truth = pa.table(
        {
            "event_id": ["a", "b", "c", "d", "e", "f"],
            "event_type": ["view", "view", "view", "purchase", "purchase", "cart"],
            "kind": ["clean", "bots", "clean", "clean", "brushing", "clean"],
        }
    )
    observer = Observer(truth)
    assert observer.found("bots") is None
    noise = {"a": 0.1, "b": 0.5, "c": 0.7, "d": 0.2, "e": 0.3, "f": 0.99, "stranger": 1.0}
    observer.take(batch([{"event_id": name, "noise_probability": p, "weight": 1.0} for name, p in noise.items()]))
    assert observer.found_by_kind() == {"bots": 0.5, "brushing": 1.0, "misclick": None}
    assert observer.found("bots", "brushing") == pytest.approx(4 / 6)
    assert observer.weighted == 7  # also what the generator does not know: the books must show it


def test_the_observer_keeps_first_weights_and_final_labels() -> None:
    observer = Observer(pa.table({"event_id": ["a"], "event_type": ["view"], "kind": ["clean"]}))
    observer.take(batch([{"event_id": "a", "weight": 0.5}]))
    observer.take(batch([{"event_id": "a", "revision": 1, "weight": 3.0, "label": 1}]))
    assert np.isnan(observer.label[0])
    observer.take(batch([{"event_id": "a", "revision": 2, "weight": 3.0, "label": 1, "final": True}]))
    assert (observer.weight[0], observer.label[0], observer.weighted, observer.final) == (0.5, 1.0, 1, 1)
    assert observer.histogram().sum() == 1


def test_uniform_weights_change_nothing_and_perfect_ones_equal_the_oracle() -> None:
    simulation = simulate(Scenario(events=6_000, seed=1))
    label = np.full(simulation.events, np.nan)
    views = np.flatnonzero(simulation.columns.etype == 1)
    label[views] = np.random.default_rng(0).random(len(views)) < 0.1
    same = compare(simulation, np.full(simulation.events, np.nan), label)
    assert same["uniform"] == same["weighted"]
    assert (same["weighted"].auc_gain, same["weighted"].auc_gain_half) == (0.0, 0.0)
    perfect = compare(simulation, (simulation.columns.kind == 0).astype(float), label)
    assert perfect["weighted"].auc_gain == pytest.approx(perfect["weighted"].auc - perfect["uniform"].auc, abs=1e-9)
    assert perfect["weighted"].auc_gain_half > 0
    assert perfect["weighted"] == perfect["oracle"] != perfect["uniform"]
    assert 0 < same["uniform"].positives < same["uniform"].views < simulation.events


def test_the_books_tell_what_does_not_add_up() -> None:
    assert REPORT.problems == []
    assert "1,034 events in, but 1,033" in replace(REPORT, events_weighted=999).problems[0]
    assert "planted" in replace(REPORT, dead_letters=21, events_in=1_035).problems[0]
    assert "lag" in replace(REPORT, lag_end=3).problems[0]
    assert "duplicates" in replace(REPORT, duplicates_planted=11).problems[0]


def test_the_picture_is_drawn_from_any_report(tmp_path: Path) -> None:
    observer = Observer(pa.table({"event_id": ["a"], "event_type": ["view"], "kind": ["clean"]}))
    observer.take(batch([{"event_id": "a", "weight": 0.5}]))
    draw(REPORT, observer, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_terminal_sees_a_picture_and_a_pipe_sees_lines() -> None:
    state = DemoState(total=1_000, sent=500, weighted=400, lag=100, sending_since=0.0, sending_until=1.0)
    state.found, state.phase = {"bots": 0.934, "brushing": None, "misclick": None}, "Streaming"
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    view = DemoDisplay(terminal, state)
    with view.shown():
        view.tick()
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert all(text in shown for text in ("Streaming", "bots", "0.934", "lag", "Weights"))
    pipe = Console(file=io.StringIO(), force_terminal=False, width=120)
    view = DemoDisplay(pipe, state)
    with view.shown():
        view.tick()
        view.tick()
    assert pipe.file.getvalue() == "Streaming ...\n"  # type: ignore[attr-defined]


def test_the_net_must_have_been_trained_used_and_guarded() -> None:
    good = Trained(3, 2, 1, 1, 0, ["01X"], 0.3, 1.2, ["no evidence of gain"], True, ["effective share 0.1 < 0.3"])
    assert good.problems == []
    assert len(replace(good, fine_tunes=2).problems) == 1
    assert len(replace(good, versions_seen=[]).problems) == 1
    assert replace(good, accepted=0, accepted_early=0, versions_seen=[]).problems == []  # no evidence of gain yet
    assert replace(good, accepted_early=0, versions_seen=[]).problems == []  # it came when all was weighed
    assert len(replace(good, poisoned_refused=False).problems) == 1
    assert replace(REPORT, net=replace(good, poisoned_refused=False)).problems


def test_the_observer_notes_what_a_net_said_of_samples_and_conversions() -> None:
    truth = pa.table({"event_id": ["a", "b", "c"], "kind": ["clean"] * 3, "event_type": ["view", "cart", "purchase"]})
    observer = Observer(truth)
    rows = [
        weight_row(0, event_id="a", f_influence=0.5, model_version="V"),
        weight_row(1, event_id="b", event_type="cart"),
        weight_row(0, 1, event_id="a", f_influence=9.0, model_version="W"),
    ]
    observer.take(weight_batch(*rows))
    assert observer.log_influence[0] == 0.5
    assert np.isnan(observer.log_influence[1:]).all()
    assert observer.version.tolist() == ["V", "builtin", ""]
