"""The docs' site is built strictly: what would be broken on it is a fault, and says where."""

from __future__ import annotations

import re
import threading
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin

import pytest

import sie_online
from deploy.site.__main__ import build, main
from deploy.site.pages import UnlinkableError, gather, navigation, place_of
from deploy.site.redirects import redirects
from deploy.site.reference import PAGE, TOLD_ELSEWHERE, reference
from tests.support.alerts import alerts
from tests.support.brokers import ROOT

CONFIG = """
[project]
site_name = "docs"
docs_dir = "build/docs"
site_dir = "build/site"
use_directory_urls = false
nav = [{ "Home" = "index.md" }, { "Client" = "reference.md" }, { "More" = ["more.md", "repository/NOTES.md"] }]
[project.theme]
font = false
"""
INDEX = "# Home\n\n[more](more.md#part) [code](../code/port.py)\n\n![picture](picture.svg)\n\n- one\n    - two\n"
MORE = "# More\n\n## Part\n\n[notes](../NOTES.md) [home](index.md)\n"
NOTES = "# Notes\n\n[more](docs/more.md#part)\n"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'

Faults = Callable[..., list[str]]


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    """Builds a small site after having written the files given; what is wrong with it."""

    def of(**changed: str) -> list[str]:
        files = {"zensical.toml": CONFIG, "docs/index.md": INDEX, "docs/more.md": MORE, "NOTES.md": NOTES}
        files |= {"docs/picture.svg": SVG, "code/port.py": "port = 1\n"}
        for name, text in (
            files | {name.replace("__", "/").replace("_md", ".md"): t for name, t in changed.items()}
        ).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, "utf-8")
        gather(tmp_path, tmp_path / "build" / "docs")
        return build(tmp_path)

    return of


def test_a_sound_site_has_no_faults_and_takes_along_what_is_linked(faults: Faults, tmp_path: Path) -> None:
    assert faults() == []
    site = tmp_path / "build" / "site"
    assert "port" in (site / "repository" / "code" / "port.py.html").read_text("utf-8")
    assert "more.html#part" in (site / "repository" / "NOTES.html").read_text("utf-8")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """``folder`` as Python's own web server has it; the address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_a_page_is_found_under_its_address_in_the_repository(faults: Faults, tmp_path: Path) -> None:
    below = CONFIG.replace('"more.md"', '"more.md", "deep/README.md", "deep/down.md"')
    assert faults(**{"zensical.toml": below}, docs__deep__README_md="# Deep\n", docs__deep__down_md="# Down\n") == []
    (tmp_path / "hosted").mkdir()
    (tmp_path / "build" / "site").rename(tmp_path / "hosted" / "docs-site")  # not at the root of its host
    with served(tmp_path / "hosted") as host:
        addresses = ("docs/more.md", "docs/deep/README.md", "docs/deep/", "docs/deep/down.md")
        for address, said in zip(addresses, ("More", "Deep", "Deep", "Down"), strict=True):
            assert f"<title>{said} - docs</title>" in led_to(f"{host}/docs-site/{address}"), address


def led_to(address: str) -> str:
    """The page that a browser comes to."""
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - ours
        (target,) = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.read().decode())
        followed = urljoin(answer.url, target)
    with urllib.request.urlopen(followed) as page:  # noqa: S310
        return str(page.read().decode())


def test_the_site_has_what_alerts_link_to() -> None:
    pages = [place_of(PurePosixPath(path.relative_to(ROOT))) for path in (ROOT / "docs").rglob("*.md")]
    there = {str(place) for place, _ in redirects(pages)}
    linked = {alert.annotations["runbook_url"].partition(" }}")[2] for alert in alerts()}
    assert len(linked) > 30
    assert {f"{link}/index.html" for link in linked} <= there
    assert "docs/runbooks/index.html" in there, "where the dashboards' link to all of them leads"


def test_a_link_that_names_a_page_by_its_file_has_the_pages_title(faults: Faults, tmp_path: Path) -> None:
    named = "[more.md](more.md#part) [docs/more.md](more.md) [NOTES.md](../NOTES.md) [more](more.md)\n"
    assert faults(docs__index_md=f"{INDEX}\n{named}") == []
    gathered = (tmp_path / "build" / "docs" / "index.md").read_text("utf-8")
    assert "[More](more.md#part) [More](more.md) [Notes](repository/NOTES.md) [more](more.md)" in gathered


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"docs__index_md": f"{INDEX}\n[gone](gone.md)\n\n[gone](more.md#gone)\n\n[gone](#gone-too)\n"},
            ["gone.md", "page does not exist", "more.md#gone", "anchor does not exist", "#gone-too", "3 issues"],
        ),
        (
            {
                "docs__index_md": f"{INDEX}\n[gone](gone/)\n\n![gone](gone.svg)\n\n![far](https://example.org/far.svg)\n"
                "\ntext\n- no list\n"
            },
            [
                "gone/ leads nowhere",
                "gone.svg leads nowhere",
                "loads https://example.org/far.svg",
                "text at '- no list'",
            ],
        ),
        (
            {
                "docs__lost_md": "# Lost\n\n1. one\n   - shallow\n",
                "zensical.toml": CONFIG.replace('"more.md"', '"more.md", "gone.md"'),
            },
            ["docs/lost.md is not in the navigation", "zensical.toml names gone.md", "lost.md:4: a list below"],
        ),
    ],
    ids=["pages and headings", "what a page shows", "navigation and lists"],
)
def test_what_would_be_broken_is_a_fault(faults: Faults, changed: dict[str, str], said: list[str]) -> None:
    found = "\n".join(faults(**changed))
    assert [part for part in said if part not in found] == []


@pytest.mark.parametrize("link", ["../code", "../gone.py", "../gone.md"])
def test_a_link_out_of_docs_leads_to_a_file(faults: Faults, link: str) -> None:
    with pytest.raises(UnlinkableError, match=rf"docs/index.md links to {link}, which is no file"):
        faults(docs__index_md=f"# Home\n\n[it]({link})\n")


def test_the_command_says_what_is_wrong_and_ends_with_2(
    faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults(docs__lost_md="# Lost\n")
    monkeypatch.setattr("deploy.site.__main__.ROOT", tmp_path)
    assert main(["--quiet"]) == 2
    assert capsys.readouterr() == ("", "docs/lost.md is not in the navigation: add it to nav in zensical.toml\n")


def test_what_is_gone_from_docs_is_gone_from_the_pages(tmp_path: Path) -> None:
    root, pages = tmp_path / "root", tmp_path / "pages"
    (root / "docs").mkdir(parents=True)
    (root / "zensical.toml").write_text(CONFIG.replace(', "repository/NOTES.md"', ""))
    for name in ("index.md", "lost.md"):
        (root / "docs" / name).write_text("# Page\n")
    gather(root, pages)
    (root / "docs" / "lost.md").unlink()
    gather(root, pages)
    assert {path.name for path in pages.rglob("*.md") if path.is_file()} == {"index.md", PAGE}


def test_the_navigation_names_every_page_once() -> None:
    pages = [place_of(path.relative_to(ROOT)).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    named = navigation(ROOT / "zensical.toml")
    assert sorted(named) == sorted(set(named))
    assert {name for name in named if not name.startswith("repository/")} == {*pages, PAGE}


def test_the_reference_tells_of_every_public_name() -> None:
    page = reference()
    assert {name for name in sie_online.__all__ if f"\n## {name}\n" not in page} == TOLD_ELSEWHERE
    assert "- `idle_s`: end the iteration at the log's end" in page
    assert "``" not in page.replace("```", "")


def test_nothing_is_loaded_from_elsewhere() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    assert config["theme"]["font"] is False
