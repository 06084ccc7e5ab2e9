"""The worker's site: what probes, Prometheus and people get from it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sie_online.client.availability import Availability
from sie_online.errors import UsageError
from sie_online.settings import Settings
from streams.observe import http, web
from streams.observe.broker_metrics import watch_broker
from streams.observe.metrics import Metrics
from streams.observe.status import status
from streams.observe.web import WorkerHealth, WorkerSite, shows_ids
from tests.support.metrics import busy
from tests.support.waiting import awaited

SettingsFactory = Callable[..., Settings]
ANYWHERE = "0.0.0.0"  # noqa: S104 - not listened on here
WELL = WorkerHealth(stalled_s=lambda: 0.0, assigned=lambda: True, recovered=lambda: True, agents_running=lambda: True)


def serving(
    settings: Settings, ask: Callable[[aiohttp.ClientSession, WorkerSite], Awaitable[Any]], health: WorkerHealth = WELL
) -> Any:
    """Run a site, and ``ask`` it, with a busy worker's metrics."""

    async def run() -> Any:
        metrics = Metrics(settings)
        busy(metrics, 0)
        busy(metrics, 3)
        site = WorkerSite(settings, metrics.registry, health)
        async with site, aiohttp.ClientSession(site.url) as session:
            return await ask(session, site)

    return asyncio.run(run())


def get(path: str, **headers: str) -> Callable[[aiohttp.ClientSession, WorkerSite], Awaitable[tuple[int, Any, str]]]:
    async def ask(session: aiohttp.ClientSession, _: WorkerSite) -> tuple[int, Any, str]:
        async with session.get(path, headers=headers) as answer:
            return answer.status, answer.headers, await answer.text()

    return ask


def broken() -> bool:
    raise RuntimeError("a fault in the check itself")


@pytest.mark.parametrize(("stalled_s", "expected"), [(0.0, 200), (60.0, 200), (60.5, 503), (1e9, 503)])
def test_a_worker_without_progress_is_not_alive(settings: SettingsFactory, stalled_s: float, expected: int) -> None:
    code, _, body = serving(settings(), get("/healthz"), replace(WELL, stalled_s=lambda: stalled_s))
    assert code == expected
    assert json.loads(body)["alive"] is (expected == 200)


@pytest.mark.parametrize("missing", ["assigned", "recovered", "agents_running"])
@pytest.mark.parametrize("check", [lambda: False, broken])
def test_readiness_names_what_is_missing_while_liveness_holds(
    settings: SettingsFactory, missing: str, check: Callable[[], bool]
) -> None:
    health = replace(WELL, **{missing: check})
    code, _, body = serving(settings(), get("/readyz"), health)
    assert code == 503
    assert [name for name, good in json.loads(body).items() if not good] == ["ready", missing]
    assert serving(settings(), get("/healthz"), health)[0] == 200


def test_a_reason_makes_a_worker_not_ready_while_liveness_holds(settings: SettingsFactory) -> None:
    health = replace(WELL, reason=lambda: "broker kafka:1 has not answered since 2026-01-01T00:00:00Z: refused")
    code, _, body = serving(settings(), get("/readyz"), health)
    assert code == 503
    assert json.loads(body)["ready"] is False
    assert json.loads(body)["reason"].startswith("broker kafka:1 has not answered since")
    assert serving(settings(), get("/healthz"), health)[0] == 200
    status = json.loads(serving(settings(), get("/status.json"), health)[2])
    assert (status["ready"], status["reason"]) == (False, json.loads(body)["reason"])


def test_a_lag_that_is_not_known_is_neither_nought_nor_what_it_was(settings: SettingsFactory) -> None:
    metrics = Metrics(settings())
    busy(metrics, 0)
    metrics.forget_lag()
    assert b"sie_lag_records{" not in generate_latest(metrics.registry)
    told = status(metrics.registry, alive=True, checks={}, reason="")
    assert told.lag is None
    assert told.partitions[0].lag is None
    metrics.set_lag(0, 3)
    assert status(metrics.registry, alive=True, checks={}, reason="").lag == 3


def test_the_metrics_say_whether_the_brokers_answer_and_since_when_not(settings: SettingsFactory) -> None:
    now = [1_000.0]
    availability = Availability(settings(), lambda: now[0], lambda: now[0])
    registry = CollectorRegistry()
    watch_broker(registry, availability)
    assert registry.get_sample_value("sie_broker_up") == 1
    now[0] += 60
    availability.failed(TimeoutError())
    assert registry.get_sample_value("sie_broker_up") == 0
    assert registry.get_sample_value("sie_broker_last_answer_timestamp_seconds") == 1_000


def test_a_worker_that_has_all_is_ready(settings: SettingsFactory) -> None:
    code, _, body = serving(settings(), get("/readyz"))
    assert (code, json.loads(body)["ready"]) == (200, True)


def test_prometheus_gets_the_format_it_asks_for(settings: SettingsFactory) -> None:
    code, headers, text = serving(settings(), get("/metrics"))
    assert code == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert 'sie_lag_records{partition="0"} 17.0' in text
    _, headers, text = serving(settings(), get("/metrics", Accept="application/openmetrics-text; version=1.0.0"))
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_the_status_sums_up_what_the_metrics_say(settings: SettingsFactory) -> None:
    code, _, body = serving(settings(), get("/status.json"), replace(WELL, recovered=lambda: False))
    status = json.loads(body)
    assert code == 200
    assert (status["alive"], status["ready"], status["checks"]["recovered"]) == (True, False, False)
    assert status["events"] == {"weighted": 192, "duplicate": 2, "heartbeat": 4, "dead_letter": 2}
    assert status["dead_letters"] == {"bad_json": 2}
    assert (status["lag"], status["rows"], status["unacked_bytes"]) == (34, 192, 99)
    assert [shard["partition"] for shard in status["partitions"]] == [0, 3]
    assert status["partitions"][1]["epoch"] == 3
    assert sum(status["weights"]["counts"]) == 192
    assert len(status["weights"]["counts"]) == len(status["weights"]["edges"]) + 1
    assert 0.25 < status["since_known"]["p50_s"] <= 0.5


def test_a_worker_that_has_just_started_has_a_status_too(settings: SettingsFactory) -> None:
    async def run() -> Any:
        async with (
            WorkerSite(settings(), Metrics(settings()).registry, WELL) as site,
            aiohttp.ClientSession() as session,
            session.get(f"{site.url}/status.json") as answer,
        ):
            return await answer.json()

    status = asyncio.run(run())
    assert status["partitions"] == []
    assert status["since_arrival"] == {"p50_s": None, "p99_s": None}


def test_everything_that_the_page_names_is_served_here_under_its_type(settings: SettingsFactory) -> None:
    code, headers, page = serving(settings(), get("/"))
    assert (code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    waiting, types = set(re.findall(r'(?:src|href)="([^"]+)"', page)), {}
    assert all(address.startswith("/") and not address.startswith("//") for address in waiting)
    while waiting:
        address = waiting.pop()
        code, headers, text = serving(settings(), get(address))
        assert code == 200, address
        types[address] = headers["Content-Type"]
        waiting |= set(re.findall(r'from "([^"]+)"', text)) - types.keys()
    assert types["/page/page.css"] == "text/css; charset=utf-8"
    assert types["/page/icon.svg"] == "image/svg+xml; charset=utf-8"
    assert {types[each] for each in types if each.endswith(".js")} == {"text/javascript; charset=utf-8"}
    assert {"/page/worker.js", "/page/page.js", "/page/curves.js", "/page/models.js"} <= types.keys()


def test_the_page_reads_only_fields_that_the_status_has(settings: SettingsFactory) -> None:
    script = serving(settings(), get("/page/worker.js"))[2]
    status = json.loads(serving(settings(), get("/status.json"))[2])
    read = set(re.findall(r"\bs\.([a-z_0-9]+)", script))
    assert {"partitions", "curves", "models", "published"} <= read
    assert read <= status.keys()
    assert set(re.findall(r"\bp\.([a-z_0-9]+)", script)) <= status["partitions"][0].keys()
    assert set(re.findall(r"\bs\.published\.([a-z_0-9]+)", script)) <= status["published"].keys()


def test_scripts_and_styles_come_from_here_alone_and_nothing_inline_is_run(settings: SettingsFactory) -> None:
    _, headers, page = serving(settings(), get("/"))
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[each] for each in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert policy["require-trusted-types-for"] == "'script'"  # text never becomes markup: the browser sees to it
    assert {policy[each] for each in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert re.findall(r"<style|<script(?![^>]*\bsrc=)| on[a-z]+=| style=", page) == []


def test_answers_tell_nothing_of_what_runs_here_and_may_not_be_framed(settings: SettingsFactory) -> None:
    for path in ("/", "/page/page.js", "/metrics", "/healthz", "/nothing-here"):
        _, headers, _ = serving(settings(), get(path))
        assert headers["Server"] == "sie-online"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, True),
        ({"web": {"host": ANYWHERE}}, False),
        ({"web": {"host": ANYWHERE, "ids": True}}, True),
        ({"web": {"ids": False}}, False),
        ({"web": {"host": "::1"}}, True),
        ({"web": {"host": "localhost"}}, True),
        ({"web": {"host": "10.1.2.3"}}, False),
        ({"web": {"host": "10.1.2.3"}, "privacy": {"hmac_key_file": "/key"}}, True),
    ],
)
def test_ids_are_shown_where_only_this_machine_listens_or_users_have_pseudonyms(
    settings: SettingsFactory, values: dict[str, Any], shown: bool
) -> None:
    assert shows_ids(settings(**values)) is shown


def test_what_the_page_cannot_learn_is_logged_once_and_ends_nothing(
    settings: SettingsFactory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def stories(self, adopted: object) -> list[Any]:
            return []

        async def look(self) -> None:
            looks.append(1)
            raise RuntimeError("a fault in the page")

    looks: list[int] = []
    monkeypatch.setattr(web, "MODELS_S", 0.01)

    async def run() -> int:
        registry = Metrics(settings()).registry
        async with WorkerSite(settings(), registry, WELL, Broken()) as site, aiohttp.ClientSession(site.url) as session:
            await awaited(lambda: len(looks) > 3, "looks")
            async with session.get("/status.json") as answer:
                return answer.status

    assert asyncio.run(run()) == 200
    assert sum("a fault in the page" in (record.exc_text or "") for record in caplog.records) == 1


def test_nothing_can_be_changed_through_the_site(settings: SettingsFactory) -> None:
    async def ask(session: aiohttp.ClientSession, _: WorkerSite) -> set[int]:
        codes = set()
        for path in ("/", "/page/page.js", "/metrics", "/healthz", "/readyz", "/status.json"):
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                async with session.request(method, path) as answer:
                    codes.add(answer.status)
        return codes

    assert serving(settings(), ask) == {405}


def test_it_listens_on_loopback_unless_told_otherwise(settings: SettingsFactory) -> None:
    async def ask(_: aiohttp.ClientSession, site: WorkerSite) -> str:
        return site.url

    assert serving(settings(), ask).startswith("http://127.0.0.1:")


def test_a_taken_port_is_told_with_the_setting_to_change(settings: SettingsFactory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            UsageError, match=rf"web\.port: {port} on 127\.0\.0\.1 is taken: set SIE_WEB__PORT"
        ) as refusal:
            serving(settings(web={"port": port}), get("/"))
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_told_as_such(settings: SettingsFactory, host: str) -> None:
    with pytest.raises(UsageError, match="SIE_WEB__HOST"):
        serving(settings(web={"host": host}), get("/"))


def test_the_port_is_free_again_after_the_stop(settings: SettingsFactory) -> None:
    async def ask(_: aiohttp.ClientSession, site: WorkerSite) -> int:
        return int(site.url.rpartition(":")[2])

    port = serving(settings(), ask)
    assert serving(settings(web={"port": port}), ask) == port


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("10.1.2.3", 200),  # a pod's, as probes ask
        ("localhost:8080", 200),
        ("LOCALHOST", 200),
        (socket.gethostname(), 200),
        ("metrics.example", 200),
        ("evil.example:8080", 421),
        ("metrics.example.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("[::1", 200),
        ("", 421),
    ],
)
def test_a_foreign_name_for_this_address_is_refused(settings: SettingsFactory, host: str, code: int) -> None:
    ours = settings(web={"allowed_hosts": ["metrics.example"]})
    answered, _, text = serving(ours, get("/metrics", Host=host))
    assert answered == code
    assert ("SIE_WEB__ALLOWED_HOSTS" in text) == (code == 421)


def test_who_is_too_old_for_a_host_header_is_answered(settings: SettingsFactory) -> None:
    async def ask(_: aiohttp.ClientSession, site: WorkerSite) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site))
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = await reader.readline()
        writer.close()
        return answer

    assert b" 200 " in serving(settings(), ask)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_half_open_connections_neither_keep_a_probe_out_nor_stay(
    settings: SettingsFactory, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http, "IDLE_S", 1.0)

    async def ask(session: aiohttp.ClientSession, site: WorkerSite) -> tuple[int, int, list[bytes]]:
        streams = []
        for _ in range(300):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site))
            writer.write(sent)
            streams.append((reader, writer))
        async with session.get("/healthz") as answer:
            code = answer.status
        held = len(site_connections(site))
        ends = await asyncio.gather(*(end_of(reader, writer) for reader, writer in streams))
        return code, held, ends

    code, held, ends = serving(settings(), ask)
    assert code == 200
    assert held <= http.MAX_CONNECTIONS + http.BACKLOG
    assert set(ends) == {b""}  # closed by the site, without an answer


@pytest.mark.parametrize(
    "request_", [b"GET /" + b"a" * 2_000 + b" HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 80]
)
def test_a_head_larger_than_any_of_ours_is_refused(settings: SettingsFactory, request_: bytes) -> None:
    async def ask(_: aiohttp.ClientSession, site: WorkerSite) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site))
        writer.write(request_ + b"Host: localhost\r\n\r\n")
        answer = await reader.readline()
        writer.close()
        return answer

    assert b" 400 " in serving(settings(), ask)


def port_of(site: WorkerSite) -> int:
    return int(site.url.rpartition(":")[2])


def site_connections(site: WorkerSite) -> list[Any]:
    runner = site._server._runner
    assert runner is not None
    assert runner.server is not None
    return runner.server.connections


async def end_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What still comes until the other side closes."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
