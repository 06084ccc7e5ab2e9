"""The OpenAPI document is one, says what there is, and a live server does what it says, whatever it is asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from jsonschema import Draft202012Validator

from streams.query.openapi import document
from streams.query.routes import ROUTES, Route
from tests.support.events import event, random_events, small_settings
from tests.support.queries import QueryWorker, token_in

EXAMPLES = 20
"""Of each route, right ones and wrong ones."""
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
HOW = ("--max-examples", str(EXAMPLES), "--checks", "all", "--generation-deterministic", "--no-color")
KNOWN = {
    parameter.name: str(parameter.example)
    for route in ROUTES
    for parameter in route.parameters
    if parameter.required or parameter.name == "category"
}
"""The document's examples by parameter: in these tests they are of an event that there was."""


@contextmanager
def live(worker: QueryWorker) -> Iterator[str]:
    """Answers in a thread; yields the address."""
    loop, started = asyncio.new_event_loop(), threading.Event()

    def serve() -> None:
        try:
            loop.run_until_complete(worker.start())
        finally:
            started.set()
        loop.run_forever()
        loop.run_until_complete(worker.stop())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    started.wait()
    assert worker.api.url, "it could not start"
    try:
        yield worker.api.url
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and token of a worker with all partitions."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    file, token = token_in(folder)
    settings = small_settings(
        api={"token_file": str(file), "port": 0},
        recommend={"enabled": True},
        store=(folder / "store").as_uri(),
    )
    known = event(0, user=KNOWN["user"], item=KNOWN["item"], category_id=KNOWN["category"], event_id=KNOWN["event_id"])
    with live(QueryWorker(settings, [known, *random_events(300, seed=1)], n_partitions=2)) as url:
        yield url, token


def test_the_document_is_an_openapi_document_that_names_every_route() -> None:
    said = json.loads(document())
    assert said["openapi"].startswith("3.1")
    assert list(said["paths"]) == [route.path for route in ROUTES]
    for schema in said["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_document_is_served_as_it_is(served: tuple[str, str]) -> None:
    url, token = served
    answer = requests.get(f"{url}/v1/openapi.json", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.content == document()


@pytest.mark.parametrize("route", [route for route in ROUTES if route.answer], ids=lambda route: route.name)
def test_examples_of_the_document_are_answered_as_it_says(served: tuple[str, str], route: Route) -> None:
    url, token = served
    headers = {"Authorization": f"Bearer {token}"}
    values = {each.name: each.default if each.name == "asked" else each.example for each in route.parameters}
    answer = requests.get(route.url(url, values), headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    said = json.loads(document())
    schema = said["paths"][route.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": said["components"]}).validate(answer.json())


@pytest.mark.slow
def test_a_live_server_does_what_the_document_says_whatever_it_is_asked(
    served: tuple[str, str], tmp_path: Path
) -> None:
    url, token = served
    command = [SCHEMATHESIS, "run", f"{url}/v1/openapi.json", "-H", f"Authorization: Bearer {token}", *HOW]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 5" in done.stdout
