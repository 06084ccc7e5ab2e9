"""What a shard is asked it answers as it would publish it, and the question leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sie_online.settings import Settings
from sie_online.shard import Shard
from sie_online.shard.lookup import PairScore
from sie_online.statements import EntityKind, decode
from tests.support.events import event, newest_statements, random_events, records, run, small_settings, weights

EVENTS = random_events(400, seed=5)
LAST_S = 400 * 100.0
"""After all of them."""


def shard_after(events: list[dict[str, object]], settings: Settings | None = None) -> Shard:
    shard = Shard(settings or small_settings(), 0)
    run(shard, records(events))
    return shard


def next_probability(shard: Shard, user: str, item: str, **more: object) -> float:
    """What is published of a view that happens when the shard's clock stands where it does."""
    now = event(9_999, user=user, item=item, **more) | {"timestamp_ms": shard.clock_ms}
    rows = records([now])
    rows = [type(rows[0])(shard.next_offset, rows[0].value, rows[0].key)]
    return float(weights(run(shard, rows))["probability"][0].as_py())


@pytest.mark.parametrize(("user", "item", "category"), [("u1", "i1", ""), ("u2", "i1", "c1"), ("new", "none", "c2")])
def test_a_score_is_what_would_be_published_of_a_view_at_this_moment(user: str, item: str, category: str) -> None:
    shard = shard_after(EVENTS)
    found = shard.score(user, item, category)
    more = {"category_id": category} if category else {}
    assert np.float32(found.probability) == np.float32(next_probability(shard, user, item, **more))
    assert (found.knows_user, found.knows_item) == (user != "new", item != "none")


def test_questions_change_neither_state_nor_rows() -> None:
    asked, left_alone = shard_after(EVENTS[:200]), shard_after(EVENTS[:200])
    for user in ("u1", "u2", "nobody"):
        for item in ("i1", "nothing"):
            asked.score(user, item, "c1")
            asked.entity("user", user)
            asked.entity("item", item)
    before, other = asked.snapshot(), left_alone.snapshot()
    assert before.changed.keys() == other.changed.keys()
    assert all(bytes(piece) == bytes(other.changed[name]) for name, piece in before.changed.items())
    rest = records(EVENTS)[200:]
    assert weights(run(asked, rest)).equals(weights(run(left_alone, rest)))


def test_figures_of_an_entity_are_those_of_its_newest_statement() -> None:
    shard = Shard(small_settings(entities={"publish_growth": 0}), 0)
    said = newest_statements(run(shard, records(EVENTS)))
    asked: list[tuple[bytes, EntityKind, str]] = [
        (b"user:u1", "user", "u1"),
        (b"item:i1#0", "item", "i1"),
        (b"category:c1#0", "category", "c1"),
    ]
    for key, kind, entity_id in asked:
        found, stated = shard.entity(kind, entity_id), decode(said[key])
        assert found is not None
        figures = (stated.n_events, stated.sum_weight, stated.noise_alpha, stated.noise_beta)
        assert found == pytest.approx(figures, abs=2e-6)


def test_nothing_is_known_of_whom_no_event_was_of_and_of_who_was_forgotten() -> None:
    shard = shard_after([*EVENTS, {"event_type": "erase", "user_id": "u1"}])
    assert shard.entity("user", "nobody") is None
    assert shard.entity("user", "u1") is None
    assert shard.entity("user", "u2") is not None
    assert not shard.score("u1", "i1").knows_user


def test_before_the_first_event_everybody_is_judged_alike() -> None:
    shard = Shard(small_settings(), 0)
    found = shard.score("u", "i")
    assert isinstance(found, PairScore)
    assert 0 < found.probability < 1
    assert found == shard.score("v", "j")


def test_under_pseudonyms_users_are_asked_for_by_the_id_that_events_have(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    shard = shard_after(EVENTS, small_settings(privacy={"hmac_key_file": str(key)}))
    assert shard.entity("user", "u1") is not None
    assert shard.score("u1", "i1").knows_user


def test_a_plugged_classifier_scores_as_it_would_be_published() -> None:
    plugged = small_settings(recommender={"classifier": "river.linear_model.LogisticRegression"})
    shard = shard_after(EVENTS[:60], plugged)
    found = shard.score("u1", "i1", "c1")
    assert np.float32(found.probability) == np.float32(next_probability(shard, "u1", "i1", category_id="c1"))
