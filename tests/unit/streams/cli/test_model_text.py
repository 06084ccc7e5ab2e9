"""What ``sie model`` shows fits a terminal of 80 columns, and breaks no version and no digest."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from rich.console import RenderableType

from models.manifest import Manifest, Verdict
from sie_online.announcements import MODELS, Announcement
from sie_online.contracts import BUILTIN_MODEL
from streams.cli import model_text
from streams.cli.terminal import Terminal
from streams.model_registry.history import VersionEntry
from tests.support.samples import made_manifest
from tests.support.versions import new_version

WIDTH = 80
FIGURES = {"nll": 0.1234, "auc": 0.71, "worst_auc": 0.52}
REASON = "no evidence of gain in log loss over uniform weights: the lower bound of the paired differences is -.0002"


def lines(parts: Iterable[RenderableType]) -> list[str]:
    terminal = Terminal(file=io.StringIO(), width=WIDTH)
    for part in parts:
        terminal.print(part)
    return [line.rstrip() for line in terminal.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def manifest(**changes: object) -> Manifest:
    report = dict.fromkeys(("candidate", "uniform", "current", "pooled", "published"), FIGURES)
    verdict = Verdict(False, (REASON, "and another"), report | {"gain": {"uniform": -0.0001}})
    return made_manifest(version=new_version(), gate=verdict, **changes)


def announced(n: int, version: str, partitions: int = 2) -> Announcement:
    offsets = {partition: 1_000_000 + partition for partition in range(partitions)}
    return Announcement(n=n, version=version, offsets=offsets, reason="rollback", created_at_ms=1_700_000_000_000)


def in_force(one: Manifest, partitions: int = 2) -> VersionEntry:
    return VersionEntry(one.version, "in force", one, (announced(12, one.version, partitions),), 3, False)


@pytest.mark.parametrize("model", MODELS)
def test_a_list_has_every_version_in_one_piece(model: str) -> None:
    refused, current = manifest(), manifest()
    found = [
        in_force(current),
        VersionEntry(refused.version, "not announced", refused, (), 0, True),
        VersionEntry(BUILTIN_MODEL, "before any", None, (), 0, False),
    ]
    shown = lines(model_text.listing(found, model))
    assert max(map(len, shown)) <= WIDTH
    assert sum(line.startswith(current.version) for line in shown) == 1
    assert any(line.startswith(f"{refused.version}  not announced  2023-11-14 22:13") for line in shown)
    assert "    announcement 12 (a rollback); adopted late by 3 shards; its artifact is gone" in shown
    assert REASON in " ".join(line.strip() for line in shown)
    assert shown[-1] == "builtin                     before any"  # whose artifact is gone for nobody


def test_a_page_has_everything_and_no_digest_in_two() -> None:
    one = manifest()
    shown = lines(model_text.page(in_force(one), "sound"))
    text = "\n".join(shown)
    assert max(map(len, shown)) <= WIDTH
    assert len(shown) < 50
    assert shown[0] == f"net {one.version}  in force"
    for there in (
        one.sha256,
        one.uri,
        one.parent,
        f"refused: {REASON[:40]}",
        "and another",
        "heads.weight 8×2",
        "sound",
    ):
        assert str(there) in text
    assert "candidate  uniform  current" in text  # figures of the same kind beside each other
    assert "offset 1,000,000 in partition 0" in " ".join(text.split())


def test_a_page_names_the_first_of_many_partitions() -> None:
    text = " ".join(lines(model_text.page(in_force(manifest(), partitions=64), "sound")))
    assert "1,000,007 in partition 7" in " ".join(text.split())
    assert "partition 8" not in text
    assert "and 56 more partitions" in " ".join(text.split())


def test_a_version_of_which_nothing_is_known_has_a_page() -> None:
    entry = VersionEntry(BUILTIN_MODEL, "in force", None, (), 0, False)
    assert lines(model_text.page(entry, None)) == ["builtin  in force"]
