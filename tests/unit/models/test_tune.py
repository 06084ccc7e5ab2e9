"""A fine-tune: repeatable to the bit on a CPU, warm from its parent, and given up rather than gone wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models import step as steps
from models import ways
from models.data import Batch, batches, load, ordered
from models.errors import (
    ExplodingNormError,
    NotFiniteLossError,
    OutOfMemoryError,
    SettingError,
    StoppedError,
    TrainingError,
)
from models.forward import IMPORTANCE, LABEL, scores
from models.inputs import label_known, label_unknown
from models.metrics import auc, correlation
from models.net import ImportanceNet, RowAdagrad
from models.samples import SampleColumns
from models.settings import MODES, TARGETS, FineTune, NetSizes
from models.snapshot import encode_net
from models.tune import Candidate, Progress, fine_tune
from tests.support.samples import FAST, SHAPE, made_samples, made_weights

SAMPLES = made_samples(1_000)
FIRST = fine_tune(SAMPLES, FAST)


def same(one: Candidate, other: Candidate) -> bool:
    pairs = zip([*one.weights, *one.canary.inputs], [*other.weights, *other.canary.inputs], strict=True)
    return one.mean_f == other.mean_f and all(a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", TARGETS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(mode: Any, target: Any) -> None:
    settings = replace(FAST, mode=mode, target=target, epochs=2)
    parent = FIRST.weights if mode == "heads" else None
    one, again, other = (fine_tune(SAMPLES, replace(settings, seed=seed), parent) for seed in (5, 5, 6))
    assert same(one, again)
    assert not same(one, other)


def test_the_order_in_which_samples_came_changes_nothing() -> None:
    shuffled = SAMPLES.take(np.random.default_rng(0).permutation(len(SAMPLES)))
    assert same(fine_tune(shuffled, FAST), FIRST)


def test_the_gates_part_is_never_looked_at() -> None:
    late = ordered(SAMPLES).test.start
    changed = SAMPLES.take(np.arange(len(SAMPLES)))
    changed.label[late:] ^= 1
    changed.dense[late:] += 7
    assert same(fine_tune(changed, FAST), FIRST)


def test_it_learns_to_predict() -> None:
    validation = ordered(SAMPLES).samples.take(ordered(SAMPLES).validation)
    p = scores(FIRST.weights, label_unknown(validation, FIRST.weights.buckets))[:, LABEL]
    assert auc(validation.label, p) > 0.8
    assert FIRST.metrics["auc"] == pytest.approx(auc(validation.label, p), abs=1e-3)


def test_an_error_target_is_learned_where_the_label_is_known_and_guessed_where_not() -> None:
    # probability is as good as it can be here, so that |error| follows from inputs and label
    found = fine_tune(made_samples(3_000), replace(FAST, target="error", epochs=8))
    assert found.metrics["target_correlation_known"] > 0.9  # type: ignore[operator]
    assert 0.2 < found.metrics["target_correlation_unknown"] < 0.9  # type: ignore[operator]


def test_mean_f_is_over_both_forms_of_the_training_part() -> None:
    train = ordered(SAMPLES).samples.take(ordered(SAMPLES).train)
    forms = label_unknown(train, FIRST.weights.buckets), label_known(train, FIRST.weights.buckets)
    f = [scores(FIRST.weights, inputs)[:, IMPORTANCE] for inputs in forms]
    assert FIRST.mean_f == pytest.approx(np.mean(f), abs=1e-6)


def test_the_canary_is_of_both_forms_and_makes_an_artifact() -> None:
    assert encode_net(FIRST.weights, FIRST.canary).data
    assert set(FIRST.canary.inputs.numbers[:, -1].tolist()) == {0.0, 1.0}


def test_heads_leave_the_body_as_it_is() -> None:
    found = fine_tune(SAMPLES, replace(FAST, mode="heads"), FIRST.weights).weights
    changed = {
        name for name in found._fields if getattr(found, name).tobytes() != getattr(FIRST.weights, name).tobytes()
    }
    assert changed == {"w3", "b3"}


def test_a_warm_start_begins_where_the_parent_ended() -> None:
    rate = replace(FAST, epochs=1, learning_rate=1e-9, embedding_rate=1e-9)
    found = fine_tune(SAMPLES, rate, FIRST.weights)
    for mine, theirs in zip(found.weights, FIRST.weights, strict=True):
        assert np.abs(mine - theirs).max() < 1e-6
    assert found.baseline_metrics["nll"] == pytest.approx(FIRST.metrics["nll"], rel=1e-5)


def test_the_best_pass_wins_and_passes_end_without_progress() -> None:
    seen: list[Progress] = []
    found = fine_tune(SAMPLES, replace(FAST, epochs=40, patience=2, learning_rate=0.03), on_progress=seen.append)
    losses = [float(one.note.split()[-1]) for one in seen]
    assert found.epochs == len(losses) < 40
    assert len(losses) - 1 - int(np.argmin(losses)) <= 3


def test_train_offsets_name_what_was_trained_on() -> None:
    assert FIRST.train_offsets == {"0": (0, 599)}
    half = SAMPLES.take(np.arange(len(SAMPLES)))
    half.partition[::2] = 2
    assert fine_tune(half, replace(FAST, epochs=1)).train_offsets == {"0": (1, 599), "2": (0, 598)}


def test_older_positives_train_and_move_no_split() -> None:
    old = made_samples(
        30, seed=9, label=np.ones(30, np.int8), event_time_ms=np.arange(30), offset=5_000 + np.arange(30)
    )
    old.older[:] = True
    together = SampleColumns(
        **{name: np.concatenate([getattr(SAMPLES, name), getattr(old, name)]) for name in SampleColumns.__slots__}
    )
    order = ordered(together)
    assert (order.train, order.timed) == (slice(0, 630), slice(30, 630))
    assert order.samples.older[:30].all()
    assert not same(fine_tune(together, FAST), FIRST)


def given_up(error: type[Exception], on: Callable[[pytest.MonkeyPatch], None], settings: FineTune = FAST) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(error) as caught:
        on(patch)
        fine_tune(SAMPLES, settings)
    return str(caught.value)


def test_a_loss_that_is_not_finite_ends_it() -> None:
    def poison(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(steps, "batch_loss", lambda logits, *_: (logits * float("nan")).sum())

    assert "the loss is nan" in given_up(NotFiniteLossError, poison)


def test_weights_that_overflow_end_it() -> None:
    settings = replace(FAST, learning_rate=1e30, epochs=5)
    assert "learning rates" in given_up(TrainingError, lambda _: None, settings)


def test_an_exploding_gradient_ends_it() -> None:
    def steepen(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(steps, "batch_loss", lambda logits, *_: 1e9 * logits.sum())

    assert "a gradient has norm" in given_up(ExplodingNormError, steepen)


def test_a_request_to_stop_is_heard_before_the_next_step() -> None:
    asked = iter([False, False, True])
    with pytest.raises(StoppedError):
        fine_tune(SAMPLES, FAST, should_stop=lambda: next(asked))
    assert next(asked, None) is None


def out_of_memory_above(limit: int) -> Callable[..., torch.Tensor]:
    real = steps.batch_loss

    def loss(unknown: torch.Tensor, *rest: Any) -> torch.Tensor:
        if len(unknown) > limit:
            raise torch.OutOfMemoryError("no memory")
        return real(unknown, *rest)

    return loss


def test_out_of_memory_halves_the_batch_says_so_and_equals_a_run_with_that_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = fine_tune(SAMPLES, replace(FAST, batch=128))
    monkeypatch.setattr(steps, "batch_loss", out_of_memory_above(200))
    seen: list[Progress] = []
    found = fine_tune(SAMPLES, replace(FAST, batch=512), on_progress=seen.append)
    assert found.batch == 128
    assert same(found, expected)
    assert [one.note for one in seen if "memory" in one.note] == [
        "out of device memory: starting again with batch 256",
        "out of device memory: starting again with batch 128",
    ]


def test_a_device_too_small_for_anything_ends_it() -> None:
    def starve(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(steps, "batch_loss", out_of_memory_above(10))

    assert "does not fit" in given_up(OutOfMemoryError, starve)


def test_a_parent_of_another_shape_or_other_inputs_is_refused() -> None:
    with pytest.raises(TrainingError, match="start without it"):
        fine_tune(SAMPLES, replace(FAST, shape=replace(SHAPE, hidden1=13)), FIRST.weights)
    narrow = SAMPLES.take(np.arange(len(SAMPLES)))
    narrow = SampleColumns(
        **{name: getattr(narrow, name) for name in SampleColumns.__slots__} | {"dense": narrow.dense[:, 1:]}
    )
    with pytest.raises(TrainingError, match="dense numbers"):
        fine_tune(narrow, FAST, FIRST.weights)


def test_heads_without_a_parent_are_refused() -> None:
    with pytest.raises(TrainingError, match="no parent"):
        fine_tune(SAMPLES, replace(FAST, mode="heads"))


def test_too_few_samples_or_one_class_alone_are_refused() -> None:
    with pytest.raises(TrainingError, match="at least 10"):
        fine_tune(SAMPLES.take(slice(0, 9)), FAST)
    with pytest.raises(TrainingError, match="one class"):
        fine_tune(SAMPLES.take(SAMPLES.label == 0), FAST)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU, so asking for one is right")
def test_a_gpu_that_is_not_there_is_not_replaced_in_silence() -> None:
    with pytest.raises(TrainingError, match="auto or cpu"):
        fine_tune(SAMPLES, replace(FAST, device="cuda"))


def test_batches_have_one_shape_and_every_row_once() -> None:
    made = list(batches(150, 64, np.random.default_rng(0), torch.device("cpu")))
    assert {(tuple(batch.rows.shape), tuple(batch.mask.shape)) for batch in made} == {((64,), (64,))}
    rows = torch.cat([batch.rows[batch.mask == 1] for batch in made])
    assert sorted(rows.tolist()) == list(range(150))
    assert sum(batch.size for batch in made) == 150


def test_only_the_rows_of_a_batch_move_and_repeats_add_up() -> None:
    net = ImportanceNet(made_weights(), torch.device("cpu"))
    before = [table.clone() for table in net.tables]
    ids = torch.tensor([[1, 2, 3, 1], [1, 5, 3, 1]])
    RowAdagrad(net.tables, rate=0.1).step(ids, torch.ones(2, sum(table.shape[1] for table in net.tables)))
    moved = [
        (table != old).any(dim=1).nonzero().flatten().tolist() for table, old in zip(net.tables, before, strict=True)
    ]
    assert moved == [[1], [2, 5], [3], [1]]
    twice, once = (before[0] - net.tables[0])[1], (before[1] - net.tables[1])[2]
    assert torch.allclose(twice, torch.full((2,), 0.2 / (2 + 1e-4) ** 0.5))
    assert torch.allclose(once, torch.full((2,), 0.1 / (1 + 1e-4) ** 0.5))


@pytest.mark.parametrize(
    "wrong",
    [{"k": 20.0}, {"mode": "half"}, {"device": "tpu"}, {"batch": 3}, {"epochs": 0}, {"learning_rate": 0.0}],
)
def test_impossible_settings_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"{next(iter(wrong))} is .*it must be"):
        FineTune(**wrong)
    with pytest.raises(SettingError, match="users is 1"):
        NetSizes(users=1)


def test_f_follows_the_target_it_was_given() -> None:
    found = fine_tune(SAMPLES, replace(FAST, target="probability", epochs=8))
    f = scores(found.weights, label_unknown(SAMPLES, found.weights.buckets))[:, IMPORTANCE]
    assert correlation(f, SAMPLES.probability) > 0.9


def full_loss_arguments() -> tuple[Any, ...]:
    net = ImportanceNet(made_weights(), torch.device("cpu"))
    order = ordered(SAMPLES)
    data = load(order, made_weights(), torch.device("cpu"))
    rows = torch.arange(64)
    targets = torch.full_like(data.label, 0.6), torch.ones_like(data.label)
    goal = steps.goal_of(data, Batch(rows, torch.ones(64), 64), targets)
    embedded = net.embedded(data.ids[rows]).requires_grad_()
    return net.layers, embedded, data.numbers[rows], data.known(rows), goal, steps.balance_of(FAST), False


def test_the_compiler_takes_the_loss_in_one_piece_and_changes_nothing() -> None:
    arguments = full_loss_arguments()
    whole = torch.compile(steps.full_loss, backend="eager", fullgraph=True, dynamic=False)
    assert torch.allclose(whole(*arguments), steps.full_loss(*arguments))


def test_without_a_compiler_it_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import TorchDynamoException

    def refuse(*_: Any) -> torch.Tensor:
        raise TorchDynamoException("no C compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: refuse)
    function = ways.Compiled(steps.full_loss)
    arguments = full_loss_arguments()
    with pytest.warns(RuntimeWarning, match="going on uncompiled: no C compiler$"):
        assert torch.equal(function(*arguments), steps.full_loss(*arguments))
    assert torch.equal(function(*arguments), steps.full_loss(*arguments))  # and does not try again
