"""The transport's bookkeeping of offsets, without a broker."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from streams.transport.positions import Claim, Positions


def _owning(**claims: Claim) -> Positions:
    positions = Positions()
    assert positions.begin(positions.term, {int(name[1:]): claim for name, claim in claims.items()})
    return positions


def test_no_commit_runs_past_a_record_that_is_still_in_flight() -> None:
    """Stock Faust, with 2585 in flight and 2586 to 2588 acknowledged, commits 2589."""
    positions = _owning(p0=Claim(epoch=1, offset=2585, durable=2585))
    for end in (2586, 2587, 2588, 2589):
        positions.fetched(0, end=end, n_bytes=100)
    for _ in range(3):
        positions.released(0, 1, 100)  # any three of the four are done

    assert positions.committable({0: 2589}) == {0: 2585}


def test_only_what_a_checkpoint_covers_is_committable() -> None:
    positions = _owning(p0=Claim(epoch=1, offset=100, durable=100))
    positions.fetched(0, end=300, n_bytes=1)
    positions.checkpointed(0, 200)

    assert positions.committable({0: 300}) == {0: 200}
    assert positions.committable({0: 150}) == {0: 150}


def test_a_shard_without_any_checkpoint_commits_nothing() -> None:
    positions = _owning(p0=Claim(epoch=1, offset=40, durable=0))
    positions.fetched(0, end=90, n_bytes=1)

    assert positions.committable({0: 90}) == {}


def test_the_last_checkpoint_after_a_loss_may_still_be_committed() -> None:
    positions = _owning(p0=Claim(epoch=1, offset=0, durable=0))
    positions.fetched(0, end=50, n_bytes=1)
    positions.end()
    positions.checkpointed(0, 50)

    assert positions.committable({0: 50}) == {0: 50}


def test_batches_continue_each_other_without_a_gap() -> None:
    positions = _owning(p0=Claim(epoch=7, offset=10, durable=10))

    assert positions.fetched(0, end=20, n_bytes=1) == (7, 10)
    assert positions.fetched(0, end=25, n_bytes=1) == (7, 20)


def test_records_fetched_after_a_loss_belong_to_nobody() -> None:
    positions = _owning(p0=Claim(epoch=7, offset=10, durable=10))
    positions.end()

    assert positions.fetched(0, end=20, n_bytes=1) is None
    assert not positions.owns(0, 7)


def test_a_claim_prepared_before_a_loss_is_refused_after_it() -> None:
    positions = Positions()
    term = positions.term
    positions.end()

    assert not positions.begin(term, {0: Claim(epoch=7, offset=10, durable=10)})
    assert positions.partitions() == set()


def test_a_new_epoch_begins_where_its_claim_says_whatever_was_fetched_before() -> None:
    positions = _owning(p0=Claim(epoch=7, offset=10, durable=10))
    positions.fetched(0, end=500, n_bytes=1)
    positions.end()
    positions.begin(positions.term, {0: Claim(epoch=8, offset=200, durable=150)})

    assert positions.fetched(0, end=210, n_bytes=1) == (8, 200)
    assert not positions.owns(0, 7)
    assert positions.owns(0, 8)


def test_bytes_of_a_lost_epoch_do_not_count_and_cannot_be_given_back_twice() -> None:
    positions = _owning(p0=Claim(epoch=7, offset=0, durable=0), p1=Claim(epoch=3, offset=0, durable=0))
    positions.fetched(0, end=10, n_bytes=1000)
    positions.fetched(1, end=10, n_bytes=10)
    assert positions.in_flight() == 1010
    positions.end()
    assert positions.in_flight() == 0

    positions.begin(positions.term, {0: Claim(epoch=8, offset=0, durable=0)})
    positions.fetched(0, end=10, n_bytes=70)
    positions.released(0, 7, 1000)

    assert positions.in_flight() == 70


@given(st.integers(0, 2**32))
def test_in_flight_is_what_was_fetched_and_not_released_under_present_epochs(seed: int) -> None:
    rng, positions, epoch = random.Random(seed), Positions(), 0
    open_batches: list[tuple[int, int, int]] = []
    for _ in range(60):
        step = rng.choice(["fetch", "fetch", "release", "lose"])
        if step == "lose":
            positions.end()
            epoch += 1
            positions.begin(positions.term, {p: Claim(epoch, 0, 0) for p in range(3)})
        elif step == "fetch":
            partition, n_bytes = rng.randrange(3), rng.randrange(1, 100)
            if stamp := positions.fetched(partition, end=1, n_bytes=n_bytes):
                open_batches.append((partition, stamp[0], n_bytes))
        elif open_batches:
            positions.released(*open_batches.pop(rng.randrange(len(open_batches))))
        present = sum(n_bytes for _, of, n_bytes in open_batches if of == epoch)
        assert positions.in_flight() == present
