"""A state's layout: everything that gives its bytes their meaning is in its digests, and nothing else is."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from sie_online import jit
from sie_online.importance import weight
from sie_online.importance.noise import share as noise_share
from sie_online.importance.noise.model import NoiseArrays, default_noise
from sie_online.shard import Layout, Shard, layout
from sie_online.shard.layout import layout_of
from sie_online.shard.state import State, new_state, new_views
from tests.support.events import random_events, records, run, small_settings

SETTINGS = small_settings()
OURS = Layout.of(SETTINGS)


def test_a_snapshot_names_its_layout_whatever_the_shard_has_seen() -> None:
    shard = Shard(SETTINGS, 0)
    assert Layout.named_by(shard.snapshot().meta) == OURS
    run(shard, records(random_events(300, seed=1)))
    assert Layout.named_by(shard.snapshot().meta) == OURS
    assert OURS.unreadable(OURS) == []


def reshaped(state: State, name: str, dtype: np.dtype[Any]) -> State:
    """``state`` whose array or table ``name`` has records of ``dtype``."""
    if name == "world":
        return state._replace(population=np.zeros(1, dtype))
    if name == "views.cold":
        return state._replace(views=state.views._replace(cold=np.zeros(len(state.views.cold), dtype)))
    table = getattr(state, name)
    return state._replace(**{name: table._replace(rows=np.zeros(len(table.rows), dtype))})


CHANGES = {
    "a field in front": lambda fields: [("extra", "f8"), *fields],
    "a field at the end": lambda fields: [*fields, ("extra", "f8")],
    "two fields in each other's place": lambda fields: [fields[1], fields[0], *fields[2:]],
    "a narrower field": lambda fields: [(fields[0][0], "f4"), *fields[1:]],
    "a renamed field": lambda fields: [("other", *fields[0][1:]), *fields[1:]],
    "a field fewer": lambda fields: fields[1:],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["world", "users", "pairs", "views.cold"])
def test_another_record_is_not_read(name: str, change: str) -> None:
    state = new_state(SETTINGS, new_views(SETTINGS).views)
    ours = {"world": state.population, "views.cold": state.views.cold}
    dtype = ours[name].dtype if name in ours else getattr(state, name).rows.dtype
    other = layout_of(reshaped(state, name, np.dtype(CHANGES[change](dtype.descr), align=True)))
    assert OURS.unreadable(other) == [name]
    assert other.unreadable(OURS) == [name]


def test_every_saved_array_has_a_record_in_the_layout() -> None:
    shard = Shard(SETTINGS, 0)
    run(shard, records(random_events(300, seed=1)))
    tables = {name.rpartition("/")[0] for name in shard.snapshot().live}
    named = {"views.overlay" if name.startswith("overlay.") else name for name in tables - {"views"}}
    assert named <= OURS.records.keys()
    assert {"views.hot", "views.cold"} <= OURS.records.keys()


def test_tables_may_grow_and_nothing_else_may_change_its_size() -> None:
    larger = Layout.of(small_settings(entities={"users": 4096, "items": 64, "categories": 64, "pairs": 64}))
    assert larger.unreadable(OURS) == []
    assert "users (4096 then, 64 now)" in OURS.unreadable(larger)
    assert Layout.of(small_settings(dedupe={"events": 32})).unreadable(OURS) == ["dedupe (64 then, 32 now)"]


@pytest.mark.parametrize(("module", "constant"), [(weight, "PRIOR"), (noise_share, "STRONG")])
def test_hyper_parameters_that_no_setting_changes_are_part_of_it(
    module: Any, constant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, constant, 1.25)
    layout._parameters.cache_clear()
    try:
        changed = Layout.of(SETTINGS)
    finally:
        layout._parameters.cache_clear()
    assert changed.parameters != OURS.parameters
    assert changed.unreadable(OURS) == []


@pytest.mark.parametrize("name", NoiseArrays._fields)
def test_every_tensor_of_the_default_noise_model_is_part_of_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with another default says otherwise what is noise, until a shop's own model is in force."""
    other = default_noise()._replace(**{name: np.nextafter(getattr(default_noise(), name), np.float32(9))})
    monkeypatch.setattr(layout, "default_noise", lambda: other)
    assert layout._parameters.__wrapped__() != OURS.parameters


def test_every_module_that_learns_lends_its_constants() -> None:
    named = {source for source, _, _ in layout._constants()}
    folders = [jit.PACKAGE / folder for folder in layout.LEARNED_WITH]
    kernels = {path for folder in folders for path in folder.glob("*.py") if "\n@kernel\n" in path.read_text()}
    without = {"importance/delay", "recommender/linear"}  # they have none
    assert {str(path.relative_to(jit.PACKAGE).with_suffix("")) for path in kernels} - without <= named


@pytest.mark.parametrize("meta", [{}, {"layout": None}, {"layout": 3}, {"layout": {"sizes": {"users": "many"}}}])
def test_a_meta_that_names_no_layout_cannot_be_read(meta: dict[str, Any]) -> None:
    assert OURS.unreadable(Layout.named_by(meta))
    assert Layout.named_by({"layout": msgspec.to_builtins(OURS)}) == OURS
