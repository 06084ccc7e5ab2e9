"""A worker's first start: its site is up while kernels compile, and it can be told to stop meanwhile."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.settings import Settings
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.workers import SIE_WORKER, worker_pool

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


def _get(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_while_kernels_compile_a_worker_is_alive_and_not_ready_and_says_how_far_it_is(
    settings: Callable[..., Settings], broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIE_CACHE_DIR", str(tmp_path / "empty"))
    made = settings(broker=broker.address)
    topic_io.make_topics(made)
    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        worker = start()
        url = worker.wait_for(r"web site up url=(\S+)").group(1)

        def compiling() -> re.Match[str] | None:
            code, said = _get(f"{url}/readyz")
            assert code == 503
            return re.fullmatch(r"compiling kernels \((\d+) of at most (\d+)\)", str(said["reason"]))

        first = int(worker.until(compiling, "compiling kernels", 60).group(1))
        assert _get(f"{url}/healthz")[0] == 200
        worker.until(lambda: (found := compiling()) and int(found.group(1)) > first, "progress", 120)
        worker.wait_for(r"compiling kernels ready=\d+ of=\d+")
        assert worker.stop(10) == 0
    assert "partitions taken" not in worker.text()
