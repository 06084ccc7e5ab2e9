"""Artifacts of noise models: the same tensors come back, and what scores its canary otherwise is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from models.errors import ArtifactError
from models.noise.artifact import NAMES, encode_noise, noise_of
from models.snapshot import decode, encode, tensors_in
from sie_online.importance.noise.model import TENSORS as TAKEN
from sie_online.importance.noise.model import new_noise
from tests.support.noise_examples import SIGNALS, random_canary, random_noise
from tests.support.samples import made_manifest

TENSORS = random_noise()
CANARY = random_canary(TENSORS)
CONTENTS = encode_noise(TENSORS, CANARY)
STORED = tensors_in(CONTENTS.data)
SCORED = tuple(name for name in NAMES if name not in ("location", "scale", "support", "share", "ordinary"))
"""Those that a canary of standardised evidence depends on."""


def test_a_stored_model_is_loaded_with_the_same_bits() -> None:
    manifest = made_manifest(size=len(CONTENTS.data), sha256=CONTENTS.sha256, tensors=CONTENTS.tensors)
    found = noise_of(decode(CONTENTS.data, manifest))
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in TENSORS.items()
    }
    assert encode_noise(TENSORS, CANARY) == CONTENTS


def test_it_is_what_kernels_take() -> None:
    assert TAKEN == NAMES
    assert np.array_equal(new_noise(noise_of(STORED), SIGNALS).monotone, TENSORS["monotone"])


@pytest.mark.parametrize("name", SCORED)
def test_a_changed_tensor_is_refused_by_the_canary(name: str) -> None:
    with pytest.raises(ArtifactError, match="canary's scores differ"):
        noise_of(STORED | {name: STORED[name] * np.float32(1.1)})
    with pytest.raises(ArtifactError, match="canary's scores differ"):
        encode_noise(TENSORS | {name: TENSORS[name] * np.float32(1.1)}, CANARY)


@pytest.mark.parametrize("name", sorted(STORED))
def test_a_missing_misshapen_or_mistyped_tensor_is_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match=f"'{name}' is missing"):
        noise_of({key: value for key, value in STORED.items() if key != name})
    for wrong in (STORED[name].astype(np.float64), STORED[name][None], STORED[name][:0], STORED[name].ravel()[0]):
        with pytest.raises(ArtifactError):
            noise_of(STORED | {name: np.asarray(wrong)})


@pytest.mark.parametrize("name", NAMES)
def test_a_value_that_is_no_number_is_refused(name: str) -> None:
    broken = TENSORS[name].copy()
    broken.flat[0] = np.nan
    with pytest.raises(ArtifactError, match=f"'{name}' has values that are not finite"):
        encode_noise(TENSORS | {name: broken}, CANARY)


@pytest.mark.parametrize(
    "changes",
    [
        {"canary.head": np.full(len(CANARY.head), 3, np.int8)},
        {"canary.head": np.full(len(CANARY.head), -1, np.int8)},
        {"canary.events": -CANARY.events},
        {"canary.scores": CANARY.scores[1:]},
    ],
    ids=["no such head", "negative head", "negative events", "other rows"],
)
def test_a_canary_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="canary"):
        noise_of(STORED | changes)


def test_a_runaway_model_is_refused_quietly() -> None:
    with pytest.raises(ArtifactError, match="canary's scores differ"):
        noise_of(STORED | {name: np.full_like(STORED[name], 3e38) for name in ("w1", "w2", "w3")})


def test_a_net_is_no_noise_model() -> None:
    with pytest.raises(ArtifactError, match="no noise model"):
        noise_of(tensors_in(encode({"heads.bias": np.zeros(2, np.float32)}).data))


def test_loading_and_scoring_need_no_torch() -> None:
    code = "import sys, models.noise.artifact; print(sorted({'torch', 'pyarrow', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
