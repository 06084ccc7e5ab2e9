"""Who does not own a partition sends those who ask for it to its owner: at once where it can, never in a circle."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from sie_online.ingest.partitioner import partition_of
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from tests.support.events import event, small_settings
from tests.support.queries import QueryWorker, asking, get, token_in

PARTITIONS = 4
USERS = [f"u{n}" for n in range(40)]
EVENTS = [event(n, user=user, at_s=float(n)) for n, user in enumerate(USERS)]


@pytest.fixture
def token(tmp_path: Path) -> str:
    return token_in(tmp_path)[1]


@pytest.fixture
def make(tmp_path: Path, token: str) -> Callable[..., Settings]:
    api = {"token_file": str(tmp_path / "tokens"), "port": 0}
    return lambda **more: small_settings(api=api | more, store=(tmp_path / "store").as_uri())


Make = Callable[..., Settings]


def fleet(settings: Settings, *owned: list[int]) -> list[QueryWorker]:
    """Workers that own these partitions, over one store."""
    return [QueryWorker(settings, EVENTS, PARTITIONS, partitions) for partitions in owned]


def user_in(partitions: list[int]) -> str:
    return next(user for user in USERS if partition_of(user.encode(), PARTITIONS) in partitions)


def event_of(user: str) -> str:
    return str(EVENTS[USERS.index(user)]["event_id"])


def test_a_user_of_another_workers_is_one_redirect_away(make: Make, token: str) -> None:
    user = user_in([2, 3])

    async def ask(session: aiohttp.ClientSession, first: QueryWorker, second: QueryWorker) -> None:
        paths = [
            f"/v1/entities/user/{user}",
            f"/v1/score?user={user}&item=i1",
            f"/v1/weights/{event_of(user)}?user={user}",
        ]
        for path in paths:
            sent = await get(session, first.api.url + path, token)
            assert sent.status == 307
            to = urlsplit(sent.headers["Location"])
            assert f"{to.scheme}://{to.netloc}" == second.api.url
            assert to.path == urlsplit(path).path
            asked_for = parse_qs(urlsplit(path).query)
            assert {name: value for name, value in parse_qs(to.query).items() if name != "asked"} == asked_for
            assert (await get(session, first.api.url + path, token, follow=True)).status == 200

    asking(fleet(make(), [0, 1], [2, 3]), ask)


def test_a_redirect_takes_no_token_along_and_asks_for_one(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, first: QueryWorker, _: QueryWorker) -> None:
        sent = await get(session, f"{first.api.url}/v1/entities/user/{user_in([2, 3])}", token)
        assert token not in sent.headers["Location"]
        assert (await get(session, sent.headers["Location"], "")).status == 401

    asking(fleet(make(), [0, 1], [2, 3]), ask)


def test_an_event_without_a_user_is_looked_for_at_every_worker_once(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, *workers: QueryWorker) -> None:
        for asked, partition in itertools.product(workers, range(PARTITIONS)):
            event_id = event_of(user_in([partition]))
            found = await get(session, f"{asked.api.url}/v1/weights/{event_id}", token, follow=True)
            assert found.status == 200
            assert found.said["revisions"][0]["partition"] == partition
            explained = await get(session, f"{asked.api.url}/v1/explain/{event_id}", token, follow=True)
            assert explained.said["event_id"] == event_id
        nowhere = await get(session, f"{workers[0].api.url}/v1/weights/none", token, follow=True)
        assert nowhere.status == 404
        assert "sie explain" in nowhere.detail

    asking(fleet(make(), [0], [1, 2], [3]), ask)


def test_ids_survive_a_redirect(make: Make, token: str) -> None:
    name = next(
        name
        for name in ("a/b?c=d&e#f%2F\r\n é" + "!" * n for n in range(99))
        if partition_of(name.encode(), PARTITIONS) == 3
    )
    events = [event(0, user=name) | {"event_id": name}]

    async def ask(session: aiohttp.ClientSession, first: QueryWorker, _: QueryWorker) -> None:
        found = await get(session, f"{first.api.url}/v1/score", token, follow=True, user=name, item="ü&=")
        assert (found.said["user_id"], found.said["item_id"], found.said["knows_user"]) == (name, "ü&=", True)

    workers = [QueryWorker(make(), events, PARTITIONS, owned) for owned in ([0, 1, 2], [3])]
    asking(workers, ask)


def test_while_a_partition_is_nobodys_it_is_said_when_to_ask_again(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, first: QueryWorker) -> None:
        for path in (f"/v1/score?user={user_in([3])}&item=i1", "/v1/weights/none"):
            found = await get(session, first.api.url + path, token)
            assert (found.status, found.headers["Retry-After"]) == (503, "1")
        assert "whose API" not in found.detail
        assert (await get(session, f"{first.api.url}/v1/weights/{event_of(user_in([0]))}", token)).status == 200

    asking(fleet(make(), [0, 1, 2]), ask)


def test_a_claim_of_a_worker_without_the_api_leads_nowhere(make: Make, token: str, tmp_path: Path) -> None:
    old = CheckpointStore(small_settings(store=(tmp_path / "store").as_uri()), make().topics.events)
    old.claim(3, 1)

    async def ask(session: aiohttp.ClientSession, first: QueryWorker) -> None:
        found = await get(session, f"{first.api.url}/v1/score?user={user_in([3])}&item=i1", token)
        assert found.status == 503
        assert "is its API on" in found.detail

    asking(fleet(make(), [0, 1, 2]), ask)


def test_who_has_lost_a_partition_and_its_heir_do_not_send_anybody_round_in_a_circle(make: Make, token: str) -> None:
    """The claims are read anew: but whoever has been asked before is not asked again."""
    user = user_in([3])

    async def ask(session: aiohttp.ClientSession, first: QueryWorker, second: QueryWorker) -> None:
        url = f"/v1/score?user={user}&item=i1"
        second.owned.discard(3)  # being taken over, by nobody that has claimed it yet
        found = await get(session, first.api.url + url, token, follow=True)
        assert found.status == 503
        assert "taken over" in found.detail
        first.store.claim(3, 1)  # the first has claimed it, and does not own it yet
        found = await get(session, second.api.url + url, token, follow=True)
        assert found.status == 503

    asking(fleet(make(), [0, 1, 2], [3]), ask)


def test_the_heir_is_found_once_it_has_claimed(make: Make, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.query.owners.KNOWN_S", 0.0)
    user = user_in([3])

    async def ask(session: aiohttp.ClientSession, first: QueryWorker, second: QueryWorker, third: QueryWorker) -> None:
        url = f"{first.api.url}/v1/score?user={user}&item=i1"
        sent = await get(session, url, token)
        assert sent.headers["Location"].startswith(second.api.url)
        second.owned.discard(3)
        third.owned.add(3)
        await third.take_over(3)
        sent = await get(session, url, token)
        assert sent.headers["Location"].startswith(third.api.url)
        assert (await get(session, url, token, follow=True)).status == 200

    asking(fleet(make(), [0], [1, 3], [2]), ask)


@pytest.mark.parametrize("url", ["http://queries.example:80/sie", "https://10.0.0.8"])
def test_an_advertised_address_is_what_claims_and_redirects_say(make: Make, token: str, url: str) -> None:
    async def ask(session: aiohttp.ClientSession, first: QueryWorker, _: QueryWorker) -> None:
        sent = await get(session, f"{first.api.url}/v1/score?user={user_in([3])}&item=i1", token)
        assert sent.headers["Location"].startswith(f"{url}/v1/score?")

    plain, advertised = make(), make(advertised_url=url)
    workers = [QueryWorker(plain, EVENTS, PARTITIONS, [0, 1, 2]), QueryWorker(advertised, EVENTS, PARTITIONS, [3])]
    asking(workers, ask)


def test_no_more_workers_are_asked_than_a_request_has_room_for(make: Make, token: str) -> None:
    async def ask(session: aiohttp.ClientSession, first: QueryWorker, _: QueryWorker) -> None:
        asked = ",".join(f"{n:06x}" for n in range(64))
        found: Any = await get(session, f"{first.api.url}/v1/weights/none?asked={asked}", token)
        assert found.status == 404

    asking(fleet(make(), [0, 1], [2, 3]), ask)
