"""Every way of taking a step learns the same: its losses are those of a CPU in float32, within a stated bound."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from models import ways
from models.data import batches, load, ordered
from models.errors import TrainingError
from models.net import ImportanceNet
from models.settings import MODES, WAYS, TrainingMode, TrainingWay
from models.step import new_step
from models.ways import way_of
from tests.support.samples import FAST, made_samples, made_weights

CPU = torch.device("cpu")
STEPS = 24
BOUND: dict[TrainingWay, float] = {"float32": 1e-4, "autocast": 5e-3, "compiled": 5e-3, "graph": 5e-3}
"""Largest relative difference of a loss: bf16 keeps 8 bits of a product's operands, and updates carry on from it."""
SAMPLES = ordered(made_samples(1_000))


def losses(way: TrainingWay, mode: TrainingMode, device: torch.device) -> list[float]:
    """Of the first steps: more than one pass, so that a batch that is filled up is among them."""
    settings = replace(FAST, way=way, mode=mode, learning_rate=0.005)
    data = load(SAMPLES, made_weights(), device)
    step = new_step(ImportanceNet(made_weights(), device), data, settings)
    targets = data.probability.clone(), torch.ones_like(data.label)
    rng = np.random.default_rng(0)
    seen = [batch for _ in range(2) for batch in batches(len(data.label), settings.batch, rng, device)][:STEPS]
    return [float(step(batch, targets)[0].detach()) for batch in seen]


def agree(way: TrainingWay, mode: TrainingMode, device: torch.device) -> None:
    expected, found = losses("float32", mode, CPU), losses(way, mode, device)
    assert len(found) == STEPS
    assert expected[-1] < expected[0]
    assert found == pytest.approx(expected, rel=BOUND[way])


@pytest.mark.parametrize("mode", MODES)
def test_bf16_agrees_with_float32(mode: TrainingMode) -> None:
    agree("autocast", mode, CPU)
    if mode == "full":
        assert losses("autocast", mode, CPU) != losses("float32", mode, CPU)


@pytest.mark.parametrize("mode", MODES)
def test_what_the_compiler_makes_agrees(mode: TrainingMode, monkeypatch: pytest.MonkeyPatch) -> None:
    # traced and differentiated as for a GPU, but not turned into machine code, which takes a minute
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    ways.compiled.cache_clear()
    agree("compiled", mode, CPU)
    ways.compiled.cache_clear()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: what it computes is compared with the CPU")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "auto"])
def test_a_gpu_agrees_with_the_cpu(way: TrainingWay, mode: TrainingMode) -> None:
    agree(way, mode, torch.device("cuda"))


def test_auto_is_compiled_on_a_gpu_and_float32_on_a_cpu() -> None:
    assert way_of(FAST, CPU) == "float32"
    assert way_of(FAST, torch.device("cuda")) == "compiled"


def test_a_graph_without_a_gpu_is_refused_in_a_sentence() -> None:
    with pytest.raises(TrainingError, match="graph was asked for, which needs a GPU: use auto"):
        losses("graph", "full", CPU)
