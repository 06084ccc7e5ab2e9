"""Artifacts and manifests: the same things come back, and anything else is refused with a reason."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ArtifactError, ManifestError
from models.forward import scores
from models.inputs import label_known
from models.manifest import Manifest
from models.snapshot import Canary, decode, encode, encode_net, load, net_of, write
from models.ulid import is_ulid, ulid
from tests.support.samples import made_manifest, made_samples, made_weights

WEIGHTS = made_weights()
INPUTS = label_known(made_samples(8), WEIGHTS.buckets)
CANARY = Canary(INPUTS, scores(WEIGHTS, INPUTS))
CONTENTS = encode_net(WEIGHTS, CANARY)


def manifest_of(contents: Any) -> Manifest:
    return made_manifest(size=len(contents.data), sha256=contents.sha256, tensors=contents.tensors)


def re_encoded(**changes: Any) -> tuple[bytes, Manifest]:
    """The artifact with tensors changed, and a manifest that vouches for it."""
    contents = encode(decode(CONTENTS.data, manifest_of(CONTENTS)) | changes)
    return contents.data, manifest_of(contents)


def test_a_written_net_is_loaded_with_the_same_bits(tmp_path: Path) -> None:
    write(tmp_path / "net", CONTENTS.data)
    for found, written in zip(load(tmp_path / "net", manifest_of(CONTENTS)), WEIGHTS, strict=True):
        assert found.tobytes() == written.tobytes()
    assert [file.name for file in tmp_path.iterdir()] == ["net"]


def test_equal_tensors_give_equal_bytes() -> None:
    assert encode_net(WEIGHTS, CANARY) == CONTENTS


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "net", b"old")
    monkeypatch.setattr("models.snapshot.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "net", b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("net", b"old")]


def test_a_cut_file_is_refused_by_its_size() -> None:
    with pytest.raises(ArtifactError, match="bytes, its manifest says"):
        decode(CONTENTS.data[:-1], manifest_of(CONTENTS))


@given(st.integers(0, len(CONTENTS.data) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, flip: int) -> None:
    damaged = bytearray(CONTENTS.data)
    damaged[at] ^= flip
    with pytest.raises(ArtifactError, match="SHA-256"):
        decode(bytes(damaged), manifest_of(CONTENTS))


@given(st.binary(max_size=100))
def test_bytes_that_are_no_artifact_are_refused_even_if_a_manifest_vouches_for_them(data: bytes) -> None:
    manifest = made_manifest(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ArtifactError):
        decode(data, manifest)


def test_tensors_other_than_the_manifest_says_are_refused() -> None:
    manifest = manifest_of(CONTENTS)
    with pytest.raises(ArtifactError, match=r"body\.1\.bias"):
        decode(CONTENTS.data, replace(manifest, tensors=manifest.tensors[1:]))
    wrong = replace(manifest.tensors[0], shape=(1, 2, 3))
    with pytest.raises(ArtifactError, match="its manifest says"):
        decode(CONTENTS.data, replace(manifest, tensors=(wrong, *manifest.tensors[1:])))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tensor_that_is_not_finite_is_named(value: float) -> None:
    w1 = WEIGHTS.w1.copy()
    w1[0, 0] = value
    with pytest.raises(ArtifactError, match=r"'body\.1\.weight' has values that are not finite"):
        decode(*re_encoded(**{"body.1.weight": w1}))
    with pytest.raises(ArtifactError, match="not finite"):
        encode_net(WEIGHTS._replace(w1=w1), CANARY)


def test_a_net_that_scores_its_canary_otherwise_is_refused() -> None:
    tensors = decode(*re_encoded(**{"heads.bias": WEIGHTS.b3 + np.float32(0.01)}))
    with pytest.raises(ArtifactError, match="canary's scores differ"):
        net_of(tensors)
    with pytest.raises(ArtifactError, match="canary's scores differ"):
        encode_net(WEIGHTS, CANARY._replace(scores=CANARY.scores + 0.01))


def test_a_canary_that_does_not_fit_is_refused() -> None:
    far = INPUTS.ids.copy()
    far[0, 0] = 1 << 20
    for changes in ({"canary.ids": far}, {"canary.ids": -far}, {"canary.scores": CANARY.scores[:0]}):
        with pytest.raises(ArtifactError, match="canary"):
            net_of(decode(*re_encoded(**changes)))


def test_a_net_without_a_canary_is_not_trusted() -> None:
    tensors = decode(CONTENTS.data, manifest_of(CONTENTS))
    del tensors["canary.scores"]
    with pytest.raises(ArtifactError, match="canary"):
        net_of(tensors)


def test_loading_and_scoring_need_no_torch() -> None:
    code = "import sys, models.snapshot; print(sorted({'torch', 'pyarrow', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("changes", [{}, {"parent": None}, {"gate": None}, {"tensors": ()}])
def test_a_manifest_survives_json(changes: dict[str, Any]) -> None:
    manifest = made_manifest(**changes)
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_figures_that_are_not_finite_become_null() -> None:
    text = made_manifest(metrics={"nll": float("nan")}).to_json()
    assert Manifest.from_json(text).metrics == {"nll": None}


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    document = json.loads(made_manifest().to_json()) | {"colour": "blue"}
    assert Manifest.from_json(json.dumps(document)) == made_manifest()


@pytest.mark.parametrize("name", list(json.loads(made_manifest().to_json())))
def test_a_missing_or_mistyped_field_is_named(name: str) -> None:
    document = json.loads(made_manifest().to_json())
    with pytest.raises(ManifestError, match=f"'{name}' is missing"):
        Manifest.from_json(json.dumps({key: value for key, value in document.items() if key != name}))
    with pytest.raises(ManifestError, match=f"'{name}"):
        Manifest.from_json(json.dumps(document | {name: True}))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": "01arz"}, "version"),
        ({"sha256": "AB" * 32}, "sha256"),
        ({"bytes": -1}, "bytes"),
        ({"mean_f": 0}, "mean_f"),
        ({"format": "pickle"}, "format"),
        ({"metrics": {"nll": "low"}}, "metrics.nll"),
        ({"train_offsets": {"3": [1]}}, "train_offsets.3"),
        ({"tensors": [{"name": "a", "dtype": "float32", "shape": ["x"]}]}, r"tensors\[0\].shape"),
        ({"gate": {"passed": 1, "reasons": [], "report": {}}}, "gate.passed"),
        ({"gate": {"passed": True, "reasons": [], "report": {"uniform": {"nll": []}}}}, "gate.report.uniform.nll"),
    ],
)
def test_an_impossible_value_is_named(change: dict[str, Any], named: str) -> None:
    document = json.loads(made_manifest().to_json()) | change
    with pytest.raises(ManifestError, match=f"field '{named}'"):
        Manifest.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "3"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="JSON"):
        Manifest.from_json(text)


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ulids_sort_by_time(time_ms: int, one: bytes, other: bytes) -> None:
    earlier, later = ulid(time_ms, one), ulid(time_ms + 1, other)
    assert is_ulid(earlier)
    assert is_ulid(later)
    assert earlier < later


def test_ulids_refuse_other_sizes() -> None:
    for time_ms, randomness in ((-1, bytes(10)), (1 << 48, bytes(10)), (0, bytes(9))):
        with pytest.raises(ValueError, match="ULID"):
            ulid(time_ms, randomness)
    assert not is_ulid("81ARZ3NDEKTSV4RRFFQ69G5FAV")
