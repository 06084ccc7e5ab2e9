"""What moved f(x) of a settled sample, and the sentences that say why it cannot be told."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from models import forward
from models.inputs import label_known
from models.manifest import Manifest
from models.samples import from_table
from sie_online.announcements import RegisteredModel, manifest_key
from sie_online.client.rows import WeightRow, weight_rows
from sie_online.contracts import EVENT_TYPES
from sie_online.features import DENSE_NAMES, N_DENSE, N_FEATURES, schema_hash
from streams.cli import explain_text
from streams.model_registry import artifacts
from streams.store import LocalStore
from streams.tools.influence import UnexplainedError, influence, require_net
from tests.support.nets import random_version
from tests.support.rows import sample_batch, weight_batch, weight_row


def settled(version: str, **values: Any) -> WeightRow:
    """A final row under ``version``, in whose weight f(x) has its part."""
    made = {"final": True, "label": 1, "error": 0.75, "model_version": version, "f_influence": 0.5}
    (row,) = weight_rows(weight_batch(weight_row(1, 1, **(made | values))))
    return row


def sample(features: str | None = None) -> pa.RecordBatch:
    """The row of ``sie.samples.v1`` to it, with numbers of some size in every dense column."""
    made = sample_batch(1, n_features=N_FEATURES, n_dense=N_DENSE)
    dense = np.random.default_rng(3).normal(size=N_DENSE).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(dense), N_DENSE)
    made = made.set_column(made.schema.get_field_index("dense"), made.schema.field("dense"), column)
    return made.replace_schema_metadata({"feature_schema_hash": features or schema_hash()})


class Kept:
    """A version in a store and in a model registry."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        data, manifest = random_version(seed=1)
        self.manifest: Manifest = replace(manifest, **changes)
        self.version = manifest.version
        self.store, self.registered = LocalStore(folder), RegisteredModel()
        artifacts.keep(self.store, data, self.manifest)
        self.registered.apply(manifest_key("net", self.version), self.manifest.to_json().encode())

    def why_not(self, sample: pa.RecordBatch) -> str:
        """The sentence."""
        with pytest.raises(UnexplainedError) as refusal:
            influence(settled(self.version), sample, self.registered, self.store)
        return str(refusal.value)


def test_every_input_is_named_and_together_they_are_what_moved_f(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    found = influence(settled(kept.version), sample(), kept.registered, kept.store)
    names = [each.name for each in found.contributions]
    assert sorted(names) == sorted(
        ["user", "item", "category", *DENSE_NAMES, "probability", "feature_score", "error", "label_known"]
    )
    moved = [each.logit for each in found.contributions]
    assert sum(moved) == pytest.approx(found.logit - found.baseline_logit, abs=1e-9)
    assert [abs(one) for one in moved] == sorted((abs(one) for one in moved), reverse=True)
    columns = from_table(pa.Table.from_batches([sample()]))
    weights = artifacts.load(kept.store, kept.manifest)
    published = forward.scores(weights, label_known(columns, weights.buckets))[0, forward.IMPORTANCE]
    assert found.f == pytest.approx(published, abs=1e-5)
    values = {each.name: each.value for each in found.contributions}
    assert values["probability"] == 0.25
    assert values["error"] == columns.label[0] - 0.25
    assert values["user"] is None
    assert values[DENSE_NAMES[0]] == columns.dense[0, 0]


def test_an_absent_category_moves_nothing_and_an_unknown_user_does(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    moved = {
        each.name: each.logit
        for each in influence(settled(kept.version), sample(), kept.registered, kept.store).contributions
    }
    assert moved["category"] == 0  # the sample has none
    assert moved["user"] != 0
    assert moved["error"] != 0  # what the truth did


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"final": False, "label": None, "error": None}, "not settled yet"),
        ({"label": None, "error": None, "event_type": EVENT_TYPES[5]}, "no sample"),
        ({"model_version": "builtin", "f_influence": 0.0}, "no net was in force"),
        ({"f_influence": 0.0}, "no part of the weight"),
    ],
)
def test_rows_in_which_no_net_spoke_say_so(values: dict[str, Any], sentence: str) -> None:
    require_net(settled("some-version"))
    with pytest.raises(UnexplainedError, match=sentence):
        require_net(settled("some-version", **values))


def test_what_is_gone_or_of_other_features_is_said(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    assert "other features than the sample" in kept.why_not(sample("of another code"))
    unknown = Kept(tmp_path, feature_schema_hash="of another code")
    assert "than this code knows" in unknown.why_not(sample("of another code"))
    file = tmp_path / kept.manifest.uri
    file.write_bytes(file.read_bytes()[:-1])
    assert "cannot be loaded" in kept.why_not(sample())
    file.unlink()
    assert "gone from the store" in kept.why_not(sample())
    kept.registered.manifests.clear()
    assert "gone from the models topic" in kept.why_not(sample())


def test_a_terminal_shows_the_inputs_or_the_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path)
    row = settled(kept.version)
    console = Console(width=200, record=True, quiet=False)
    monkeypatch.setattr(explain_text, "out", console)
    found = influence(row, sample(), kept.registered, kept.store)
    explain_text.show([row], found)
    text = console.export_text()
    assert f"of net {kept.version}" in text
    assert found.contributions[0].name in text
    assert f"{len(found.contributions) - explain_text.INPUTS_SHOWN} others" in text
    assert f"{found.logit - found.baseline_logit:+.3f}" in text
    explain_text.show([row], "the event has not settled yet")
    assert "what moved f(x) is not known: the event has not settled yet" in console.export_text()


def test_f_is_the_logistic_of_its_logit(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    found = influence(settled(kept.version), sample(), kept.registered, kept.store)
    for f, logit in ((found.f, found.logit), (found.baseline_f, found.baseline_logit)):
        assert f == pytest.approx(1 / (1 + math.exp(-logit)))
