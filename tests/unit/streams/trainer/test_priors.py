"""Priors: made of what partitions have learned, judged, kept as an artifact, loaded for one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.errors import ArtifactError
from models.manifest import Manifest
from models.samples import SampleColumns, chronological, from_table, joined
from sie_online.announcements import MODELS, PRIORS, Adoption, RegisteredModel, manifest_key
from sie_online.recommender.pooling import TABLES, Gain, Gains, total
from sie_online.settings import Settings
from sie_online.settings.training import PriorsPooling
from sie_online.shard import Shard
from sie_online.shard.pooled import initial_recommender
from streams.model_registry import artifacts
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.priors import Priors, parts_of, tensors_of
from streams.observe.metrics import Metrics
from streams.store import LocalStore
from streams.trainer.priors import Cadence, ShardGains, judge, judges, pooled, suffice
from tests.support.events import heartbeat, random_events, records, run, samples, small_settings
from tests.support.neighbourhoods import neighbourhoods, read
from tests.support.versions import new_version

N = 1_500
SETTINGS = small_settings()
Told = tuple[dict[int, ShardGains], SampleColumns]


def equal(a: Gains, b: Gains) -> bool:
    return all(
        (one == other).all()
        for table in TABLES
        for one, other in zip(getattr(a, table), getattr(b, table), strict=True)
    )


@pytest.fixture(scope="module")
def told() -> Told:
    """What three partitions have learned, and their settled samples."""
    learned, settled = {}, []
    for partition in range(3):
        shard = Shard(SETTINGS, partition)
        outputs = run(shard, records([*random_events(N, seed=partition), heartbeat(10 * N * 20)]))
        settled.append(from_table(pa.table(samples(outputs))))
        learned[partition] = ShardGains(shard.next_offset, shard.own_gains())
    together = joined(settled)
    return learned, together.take(chronological(together))


def made(told: Told, settings: Settings = SETTINGS) -> tuple[bytes, Manifest]:
    contents, manifest = pooled(*told, settings, new_version(), "builtin", 1)
    return contents.data, manifest


def test_a_version_holds_what_every_partition_has_learned(told: Told) -> None:
    parts = {partition: each.gains for partition, each in told[0].items()}
    again = parts_of(tensors_of(parts), initial_recommender(SETTINGS)._asdict())
    assert again.keys() == parts.keys()
    assert all(equal(again[partition], parts[partition]) for partition in parts)


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("linear.rows", lambda rows: rows[::-1].copy()),
        ("linear.rows", lambda rows: rows + (1 << 16)),
        ("linear.rows", lambda rows: rows.astype(np.int64)),
        ("factors.values", lambda values: values[:, :, :4].copy()),
        ("factors.values", lambda values: values[1:]),
        ("linear.ends", lambda ends: ends[:-1]),
        ("linear.ends", lambda ends: ends - 1),
        ("factors.ends", lambda ends: ends[::-1].copy()),
    ],
)
def test_tensors_that_do_not_fit_are_refused(told: Told, name: str, spoilt: object) -> None:
    tensors = tensors_of({partition: each.gains for partition, each in told[0].items()})
    assert callable(spoilt)
    with pytest.raises(ArtifactError):
        parts_of(tensors | {name: spoilt(tensors[name])}, initial_recommender(SETTINGS)._asdict())
    with pytest.raises(ArtifactError, match="missing"):
        parts_of({key: value for key, value in tensors.items() if key != name}, initial_recommender(SETTINGS)._asdict())


def test_a_partition_is_given_what_the_others_have_learned(told: Told, tmp_path: Path) -> None:
    (data, manifest), store, registry = made(told), LocalStore(tmp_path), {m: RegisteredModel(m) for m in MODELS}
    artifacts.keep(store, data, manifest)
    assert (artifacts.stored(store, PRIORS), artifacts.stored(store)) == ([manifest.version], [])
    registry[PRIORS].apply(manifest_key(PRIORS, manifest.version), manifest.to_json().encode())
    loaded = LoadedModels(SETTINGS, store, registry, Metrics(SETTINGS))
    found = loaded.get(Adoption(1, manifest.version, 0, PRIORS), 1)
    assert isinstance(found, Gains)
    parts = told[0]
    assert equal(found, total([parts[0].gains, parts[2].gains], initial_recommender(SETTINGS)))
    assert loaded.get(Adoption(2, "builtin", 0, PRIORS), 1) is None
    newcomer = loaded.get(Adoption(1, manifest.version, 0, PRIORS), 7)  # nothing of it to leave out
    assert isinstance(newcomer, Gains)
    assert equal(newcomer, total([parts[n].gains for n in range(3)], initial_recommender(SETTINGS)))


def test_a_partition_is_given_what_the_others_have_counted(told: Told, tmp_path: Path) -> None:
    counted = [neighbourhoods({"a": 3, "b": n}, {("a", "b"): n}) for n in (1, 2, 3)]
    learned = {
        partition: each._replace(gains=each.gains._replace(neighbourhoods=counted[partition]))
        for partition, each in told[0].items()
    }
    (data, manifest), store = made((learned, told[1])), LocalStore(tmp_path)
    artifacts.keep(store, data, manifest)
    registered = RegisteredModel(PRIORS)
    registered.apply(manifest_key(PRIORS, manifest.version), manifest.to_json().encode())
    priors = Priors(SETTINGS, store, registered, Metrics(SETTINGS))
    found = priors.for_partition(manifest.version, 1)
    assert found is not None
    assert found.neighbourhoods is not None
    assert read(found.neighbourhoods) == ({"a": 6, "b": 4}, {("a", "b"): 4})


def test_shards_that_do_not_rank_share_no_counts(told: Told) -> None:
    tensors = tensors_of({partition: each.gains for partition, each in told[0].items()})
    assert not [name for name in tensors if name.startswith("lists.")]


def test_a_damaged_artifact_is_not_had(told: Told, tmp_path: Path) -> None:
    (data, manifest), store, registry = made(told), LocalStore(tmp_path), {m: RegisteredModel(m) for m in MODELS}
    artifacts.keep(store, data[:-1] + b"?", manifest)
    registry[PRIORS].apply(manifest_key(PRIORS, manifest.version), manifest.to_json().encode())
    with pytest.raises(LookupError):
        LoadedModels(SETTINGS, store, registry, Metrics(SETTINGS)).get(Adoption(1, manifest.version, 0, PRIORS), 0)


# -- the gate


def lenient(slack: float) -> Settings:
    return SETTINGS.model_copy(
        update={"trainer": SETTINGS.trainer.model_copy(update={"priors": PriorsPooling(nll_slack=slack)})}
    )


def spoiled(gains: Gains, factor: float) -> Gains:
    """The opposite of what was learned (``factor`` -1), more or less of it."""
    flipped = []
    for gain in (gains.linear, gains.factors):
        values, k = gain.values.copy(), gain.values.shape[-1] // 2
        values[..., :k] *= factor
        flipped.append(Gain(gain.rows, values))
    return Gains(*flipped)


def test_what_was_learned_passes_and_its_opposite_is_refused(told: Told) -> None:
    learned, newest = told
    good = {partition: each.gains for partition, each in learned.items()}
    verdict = judge(good, newest, lenient(0.1))  # random events teach little: this is about noise
    assert (verdict.passed, verdict.reasons) == (True, ())
    poisoned = judge({partition: spoiled(gains, -3.0) for partition, gains in good.items()}, newest, lenient(0.1))
    assert not poisoned.passed
    assert all(reason.startswith("NLL ") for reason in poisoned.reasons)
    assert len(poisoned.reasons) == 2


def test_before_anything_has_settled_bounds_alone_decide(told: Told) -> None:
    parts = {partition: each.gains for partition, each in told[0].items()}
    verdict = judge(parts, None, SETTINGS)
    assert (verdict.passed, verdict.report) == (True, {})
    wild = judge({partition: spoiled(gains, 1e4) for partition, gains in parts.items()}, None, SETTINGS)
    (reason,) = wild.reasons
    assert reason.startswith("a coefficient is ")


def test_one_poisoned_partition_is_enough_to_be_refused(told: Told) -> None:
    learned, newest = told
    parts = {partition: each.gains for partition, each in learned.items()}
    assert not judge(parts | {2: spoiled(parts[2], -30.0)}, newest, lenient(0.1)).passed


def test_a_verdict_is_in_the_manifest_with_its_figures(told: Told) -> None:
    _, manifest = made(told)
    assert manifest.gate is not None
    assert manifest.gate.report.keys() == {"pooled", "published", "others", "rate"}
    assert manifest.train_offsets == {str(partition): (0, N) for partition in range(3)}
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_few_positives_judge_nothing(told: Told) -> None:
    rules, (_, newest) = PriorsPooling(judge_samples=100), told
    assert judges(None, rules) is None
    assert not suffice(judges(replace(newest, label=np.zeros_like(newest.label)), rules), rules)
    found = judges(newest, rules)
    assert found is not None
    assert suffice(found, PriorsPooling(min_positives=1))
    assert (found.event_time_ms == newest.event_time_ms[-100:]).all()


def test_versions_are_due_by_what_is_new_against_what_is_known() -> None:
    cadence = Cadence(PriorsPooling(every_events=100, growth=0.5, longest_s=60.0))
    assert not cadence.is_due(99)
    assert cadence.is_due(100)
    cadence.done(1_000)
    assert not cadence.is_due(1_499)
    assert cadence.is_due(1_500)
    assert cadence.is_due(1_100, waited_s=60.0)
    assert not cadence.is_due(1_099, waited_s=60.0)
