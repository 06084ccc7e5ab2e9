"""What pages of the documentation show, runs: their blocks of sh and Python, in order, in an empty folder.

A page takes part by its line in ``PAGES``. Whatever it writes ``127.0.0.1:9092`` for is the embedded broker.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.brokers import ROOT, Broker
from tests.support.pages import BROKER, RUNS, Block, blocks, reader

pytestmark = pytest.mark.slow

PAGES = ("docs/cookbook.md", "docs/quickstart.md", "docs/subsampling.md")


def runnable(page: str) -> list[Block]:
    return [block for block in blocks(ROOT / page) if block.language in RUNS and block.says("reason") is None]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shown = runnable(page)
    assert shown
    address = BROKER
    if any(block.names_broker for block in shown):
        broker: Broker = request.getfixturevalue("broker")
        address = broker.address
    with reader(tmp_path, address) as typing:
        for block in shown:
            printed = typing.run(block)
            assert printed or "print" not in block.code, f"{block} prints nothing"
