"""What the page on extensions shows, runs: each block of code is a module of somebody's own, held to its contract."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import sqlite3
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from sie_online.settings import load
from streams.extensions import check_extensions
from streams.sinks import new_sink
from streams.store import STORES, open_store
from tests.contract import decoder_contract, sink_contract, store_contract
from tests.contract.sink_contract import Row
from tests.support.brokers import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
MODULES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))
SETTINGS = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's modules, where an installed package would be."""
    folder = tmp_path_factory.mktemp("site")
    for name, code in MODULES.items():
        (folder / f"{name}.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(folder)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_the_page_has_one_module_a_kind_and_its_settings_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MODULES.keys() == {"my_msgpack", "my_sqlite", "my_store"}
    assert SETTINGS
    for text in SETTINGS:
        check_extensions(load(tomllib.loads(text)))


@pytest.mark.parametrize("check", decoder_contract.CHECKS)
def test_the_format_keeps_its_promise(check: str) -> None:
    form = decoder_contract.Format("my_msgpack:MessagePack", msgspec.msgpack.encode)
    decoder_contract.CHECKS[check](form)


@pytest.mark.parametrize("check", sink_contract.CHECKS)
def test_the_sink_keeps_its_promise(check: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.db"

    def read(stream: str) -> Sequence[Row]:
        with closing(sqlite3.connect(path)) as db:
            return [json.loads(row) for (row,) in db.execute(f'SELECT row FROM "{stream}" ORDER BY offset')]  # noqa: S608

    place = sink_contract.Place(lambda: new_sink(f"my_sqlite:SqliteTables={path}"), read, lambda: _spoil(path))
    asyncio.run(sink_contract.CHECKS[check](place))  # type: ignore[arg-type]  # each is a coroutine


def test_the_sink_has_every_row_exactly_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"

    async def fill() -> None:
        sink = new_sink(f"my_sqlite:SqliteTables={path}")
        for generation in (1, 2):
            await sink.add(sink_contract.weights(range(5 * generation), generation=generation))
            await sink.flush(0)

    asyncio.run(fill())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM weights").fetchone() == (10,)


@pytest.mark.parametrize("check", store_contract.CHECKS)
def test_the_store_keeps_its_promise(check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STORES, "sqlite", _module("my_store").SqliteStore)
    path = tmp_path / "objects.db"
    place = store_contract.Place(lambda: open_store(f"sqlite://{path}"), lambda: _spoil(path))
    store_contract.CHECKS[check](place)


def _spoil(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
