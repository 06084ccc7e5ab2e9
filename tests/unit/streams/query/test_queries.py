"""Every route answers as its document says, of what the shards know; whatever is asked, there is a sentence."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import msgspec
import pytest

from sie_online.client.rows import WeightRow
from sie_online.settings import Settings
from sie_online.shard import Shard
from sie_online.unpacking import picked
from streams.query.answers import Explanation, Revision, Weights
from streams.query.routes import ROUTES
from streams.query.service import reachable
from tests.support.brokers import ROOT
from tests.support.events import event, random_events, run, small_settings, weights
from tests.support.events import records as records_of
from tests.support.queries import Answer, QueryWorker, asking, get, token_in

EVENTS = random_events(300, seed=1)
Make = Callable[..., Settings]


@pytest.fixture
def token(tmp_path: Path) -> str:
    return token_in(tmp_path)[1]


@pytest.fixture
def make(tmp_path: Path, token: str) -> Make:
    """Settings with the API on."""

    def made(**more: Any) -> Settings:
        api = {"token_file": str(tmp_path / "tokens"), "port": 0} | more.pop("api", {})
        return small_settings(api=api, store=(tmp_path / "store").as_uri(), **more)

    return made


def answers(settings: Settings, token: str, *paths: str, n_partitions: int = 1, events: Any = EVENTS) -> list[Answer]:
    """What one worker with all partitions answers to each of ``paths``."""

    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> list[Answer]:
        return [await get(session, worker.api.url + path, token) for path in paths]

    return cast("list[Answer]", asking([QueryWorker(settings, events, n_partitions)], ask))


def published(settings: Settings) -> list[dict[str, Any]]:
    return weights(run(Shard(settings, 0), records_of(EVENTS))).to_pylist()


def test_weights_are_all_revisions_that_were_published_newest_first(make: Make, token: str) -> None:
    (found,) = answers(make(), token, "/v1/weights/e17")
    said = msgspec.convert(found.said, Weights)
    rows = [row for row in published(make()) if row["event_id"] == "e17"]
    assert found.status == 200
    assert said.complete
    assert [each.revision for each in said.revisions] == sorted((row["revision"] for row in rows), reverse=True)
    for row in rows:
        (same,) = (each for each in said.revisions if each.revision == row["revision"])
        assert (same.weight, same.probability, same.label) == (row["weight"], row["probability"], row["label"])


def test_a_revision_has_every_column_of_a_row() -> None:
    assert {field.name for field in msgspec.structs.fields(Revision)} == set(WeightRow._fields)


def test_an_explanation_adds_up_to_the_logarithm_of_the_weight(make: Make, token: str) -> None:
    for found in answers(make(), token, "/v1/explain/e17", "/v1/explain/e100"):
        said = msgspec.convert(found.said, Explanation)
        assert sum(part.log for part in said.factors.values()) == pytest.approx(math.log(said.weight), abs=1e-6)
        assert sum(part.share for part in said.factors.values()) == pytest.approx(1)
        assert said.revisions[-1].weight == said.weight
        assert said.noise_model.version == "builtin"
        assert said.influence_unknown


def test_entities_are_summed_over_the_partitions_held_and_it_is_said_of_which(make: Make, token: str) -> None:
    whole, user = answers(make(), token, "/v1/entities/item/i1", "/v1/entities/user/u1", n_partitions=3)
    seen = {one["event_id"]: one for one in reversed(EVENTS)}.values()  # a repeated id counts once
    assert (whole.said["whole"], whole.said["partitions"]) == (True, [0, 1, 2])
    assert whole.said["n_events"] == pytest.approx(sum(one["item_id"] == "i1" for one in seen), abs=3)
    low, high = whole.said["noise_interval"]
    assert low < whole.said["noise_mean"] < high
    assert (user.said["whole"], user.said["shards"]) == (True, 1)

    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> Answer:
        return await get(session, f"{worker.api.url}/v1/entities/item/i1", token)

    part = asking([QueryWorker(make(), EVENTS, 3, partitions=[0, 2])], ask)
    assert (part.said["whole"], part.said["partitions"]) == (False, [0, 2])
    assert 0 < part.said["n_events"] < whole.said["n_events"]
    assert "a part of 3 partitions" in part.said["scope"]


def test_a_score_says_as_of_when_and_whom_it_knows(make: Make, token: str) -> None:
    known, unknown = answers(make(), token, "/v1/score?user=u1&item=i1&category=c1", "/v1/score?user=nobody&item=i1")
    assert known.said["offset"] == len(EVENTS)
    assert known.said["category_id"] == "c1"
    assert 0 < known.said["probability"] < 1
    assert (known.said["knows_user"], unknown.said["knows_user"]) == (True, False)
    assert unknown.said["category_id"] is None


def test_where_recommending_is_off_it_is_said_how_to_turn_it_on(make: Make, token: str) -> None:
    (found,) = answers(make(), token, "/v1/recommend?user=u1&n=5")
    assert found.status == 409
    assert "recommend.enabled" in found.detail


def test_recommendations_are_the_shards_best_first(make: Make, token: str) -> None:
    settings = make(recommend={"enabled": True})
    known, popular = answers(settings, token, "/v1/recommend?user=u1&n=5", "/v1/recommend?user=nobody")
    shard = Shard(settings, 0)
    run(shard, records_of(EVENTS))
    assert known.said["items"] == shard.recommend("u1", 5)
    assert popular.said["items"] == shard.recommend("nobody", 10)
    assert len(known.said["items"]) == 5
    assert known.said["offset"] == len(EVENTS)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/score?item=i1", "user is missing"),
        ("/v1/score?user=u1", "item is missing"),
        ("/v1/score?user=&item=i1", "user is to be"),
        ("/v1/recommend?user=u1&n=0", "n is a whole number from 1 to"),
        ("/v1/recommend?user=u1&n=1e3", "n is a whole number"),
        ("/v1/recommend?user=u1&n=99999", "n is a whole number"),
        ("/v1/weights/e1?asked=xyz", "asked is to be"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(make: Make, token: str, path: str, says: str) -> None:
    (found,) = answers(make(), token, path)
    assert found.status == 400
    assert says in found.detail


HOSTILE = [
    "../../etc/passwd",
    "a/b",
    "{}",
    "%2F",
    "\x00",
    "\r\nSet-Cookie: x=1",
    "<script>",
    "é日本",
    "'; --",
    "?&#",
    " ",
]
HOSTILE += ["x" * 256]


def test_ids_of_any_characters_are_found_and_no_answer_to_an_unknown_one_repeats_it(make: Make, token: str) -> None:
    events = [event(n, user=name, item=name) | {"event_id": name} for n, name in enumerate(HOSTILE)]
    paths = [f"/v1/weights/{quote(name, safe='')}" for name in HOSTILE]
    paths += [f"/v1/entities/user/{quote(name, safe='')}" for name in HOSTILE]
    for found, name in zip(answers(make(), token, *paths, events=events), HOSTILE * 2, strict=True):
        assert found.status == 200, (name, found.said)
        assert (found.said.get("event_id") or found.said["id"]) == name
    for found, name in zip(answers(make(), token, *paths, events=EVENTS), HOSTILE * 2, strict=True):
        assert found.status == 404
        assert len(name) < 3 or name not in json.dumps(found.said)
        assert "Set-Cookie" not in found.headers


def test_bytes_that_are_no_text_are_refused_with_a_sentence(make: Make, token: str) -> None:
    async def ask(_: aiohttp.ClientSession, worker: QueryWorker) -> bytes:
        host, _, port = worker.api.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        request = b"GET /v1/entities/item/\xff\xfe?user=\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        writer.write(request + b"Authorization: Bearer " + token.encode() + b"\r\n\r\n")
        said = await reader.read()
        writer.close()
        return said

    said = asking([QueryWorker(make(), EVENTS)], ask)
    assert b" 400 " in said.split(b"\r\n")[0]


def test_nothing_is_told_without_a_token(make: Make) -> None:
    for found in answers(make(), "x" * 40, *(route.path for route in ROUTES), "/", "/metrics"):
        assert found.status == 401
        assert found.headers["WWW-Authenticate"].startswith("Bearer ")


def test_what_there_is_not_and_what_cannot_be_done_are_problems_too(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> None:
        assert "no such page" in (await get(session, f"{worker.api.url}/v2", token)).detail
        headers = {"Authorization": f"Bearer {token}"}
        async with session.post(f"{worker.api.url}/v1/score", headers=headers) as refused:
            assert refused.status == 405
            assert refused.content_type == "application/problem+json"
        async with session.get(f"{worker.api.url}/v1/score", headers=headers | {"Host": "evil.example"}) as refused:
            assert refused.status == 421
            assert "api.allowed_hosts" in (await refused.json(content_type=None))["detail"]

    asking([QueryWorker(make(), [])], ask)


def test_a_question_waits_for_the_batch_under_way_and_no_longer_than_it_may(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> None:
        (lease,) = worker.leases
        url = f"{worker.api.url}/v1/score?user=u1&item=i1"
        async with lease.processing:
            late = await get(session, url, token)
            assert (late.status, late.headers["Retry-After"]) == (503, "1")
            assert "api.timeout_s" in late.detail
            known = await get(session, f"{worker.api.url}/v1/weights/e17", token)
            assert known.status == 200, "what was published is told meanwhile"
            waiting = asyncio.create_task(get(session, url, token))
            await asyncio.sleep(0.05)  # the promise is that nothing happens
            assert not waiting.done()
        assert (await waiting).status == 200

    asking([QueryWorker(make(api={"timeout_s": 0.3}), EVENTS)], ask)


def test_an_answer_from_many_messages_leaves_turns_to_others_between_any_two(
    make: Make, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, decoded_in = 0, list[int]()

    def noted(message: bytes, rows: Any) -> Any:
        decoded_in.append(turns)
        return picked(message, rows)

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> None:
        for first in range(0, len(EVENTS), 10):  # what settles later is in another message
            worker.process(0, records_of(EVENTS)[first : first + 10])
        turning = asyncio.create_task(turn())
        for path in ("/v1/weights/e17", "/v1/explain/e17"):
            decoded_in.clear()
            assert (await get(session, worker.api.url + path, token)).status == 200
            assert len(decoded_in) == len(set(decoded_in)) > 1
        turning.cancel()

    monkeypatch.setattr("streams.worker.recent.picked", noted)
    asking([QueryWorker(make(), [])], ask)


def test_a_batch_waits_for_the_questions_before_it_and_for_none_that_comes_later(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> None:
        (lease,) = worker.leases
        done: list[str] = []

        async def question(name: str) -> None:
            await get(session, f"{worker.api.url}/v1/score?user=u1&item=i1", token)
            done.append(name)

        async def batch() -> None:
            async with lease.processing:
                done.append("batch")
                await asyncio.sleep(0.05)  # the promise is that no later question is answered meanwhile
                done.append("end of batch")

        tasks = []
        async with lease.processing:
            for waiting in (question("before"), batch(), question("after")):
                tasks.append(asyncio.create_task(waiting))
                await asyncio.sleep(0.2)  # until it waits for the shard
        await asyncio.gather(*tasks)
        assert done.index("batch") < done.index("end of batch") < done.index("after")
        assert "before" in done[: done.index("end of batch")]

    asking([QueryWorker(make(), EVENTS)], ask)


def test_more_requests_than_are_answered_at_once_are_told_to_come_back(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> None:
        (lease,) = worker.leases
        url = f"{worker.api.url}/v1/score?user=u1&item=i1"
        async with lease.processing:
            waiting = [asyncio.create_task(get(session, url, token)) for _ in range(3)]
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            (refused,) = (task.result() for task in done)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
            assert "api.max_requests" in refused.detail
        assert sorted([(await task).status for task in waiting]) == [200, 200, 503]

    asking([QueryWorker(make(api={"max_requests": 2}), EVENTS)], ask)


def test_a_shard_that_was_given_up_while_a_question_waited_is_not_asked(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> None:
        (lease,) = worker.leases
        async with lease.processing:
            waiting = asyncio.create_task(get(session, f"{worker.api.url}/v1/score?user=u1&item=i1", token))
            await asyncio.sleep(0.1)  # until it waits; if it did not, it would find no partition: 503, too
            worker.leases.forget(0)
        assert (await waiting).status == 503

    asking([QueryWorker(make(), EVENTS)], ask)


def test_under_pseudonyms_no_answer_has_an_id_that_events_have(make: Make, token: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    events = [one | {"user_id": f"person-{one['user_id']}"} for one in EVENTS]
    paths = ["/v1/weights/e17", "/v1/explain/e17", "/v1/entities/user/person-u1", "/v1/score?user=person-u1&item=i1"]
    paths += ["/v1/entities/user/person-nobody", "/v1/score?user=person-nobody&item=i1"]
    found = answers(make(privacy={"hmac_key_file": str(key)}), token, *paths, events=events)
    assert [each.status for each in found] == [200, 200, 200, 200, 404, 200]
    assert not any("person-" in json.dumps(each.said) for each in found)
    assert found[2].said["id"] == found[3].said["user_id"]
    assert len(found[2].said["id"]) == 64


def test_requests_are_counted_by_route_and_status(make: Make, token: str) -> None:
    worker = QueryWorker(make(), EVENTS)

    async def ask(session: aiohttp.ClientSession, worker: QueryWorker) -> None:
        for path in ("/v1/weights/e17", "/v1/weights/none", "/v1/score", "/v9"):
            await get(session, worker.api.url + path, token)
        await get(session, f"{worker.api.url}/v1/score", "x" * 40)

    asking([worker], ask)
    counted = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in worker.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "sie_api_requests_total" and sample.value
    }
    expected = {("weights", "200"): 1, ("weights", "404"): 1, ("score", "400"): 1, ("other", "404"): 1}
    assert counted == expected | {("other", "401"): 1}


@pytest.mark.parametrize("url", ["http://0.0.0.0:8082", "http://[::]:8082"])
def test_any_address_is_advertised_as_this_machine(url: str) -> None:
    assert not reachable(url).startswith(url)
    assert reachable(url).endswith(":8082")
    assert reachable("http://10.0.0.7:8082") == "http://10.0.0.7:8082"


EXAMPLE = re.compile(r"^ask '?http://127\.0\.0\.1:8082(/\S+?)'?\n```\n```json\n(.*?)\n```", re.DOTALL | re.MULTILINE)


def test_answers_on_the_page_are_what_a_worker_answers(make: Make, token: str) -> None:
    page = EXAMPLE.findall((ROOT / "docs" / "queries.md").read_text("utf-8"))
    assert len(page) == len([route for route in ROUTES if route.answer])
    found = answers(make(recommend={"enabled": True}), token, *(path for path, _ in page))
    for answer, (path, said) in zip(found, page, strict=True):
        assert close(answer.said, json.loads(said)), path


def close(answer: Any, said: Any) -> bool:
    """Whether both say the same, numbers to the digits that a page has room for."""
    if isinstance(answer, dict):
        return answer.keys() == said.keys() and all(close(value, said[name]) for name, value in answer.items())
    if isinstance(answer, list):
        return len(answer) == len(said) and all(map(close, answer, said))
    return bool(answer == pytest.approx(said, rel=1e-5) if isinstance(answer, float) else answer == said)
