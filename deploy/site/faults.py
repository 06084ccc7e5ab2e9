"""What is wrong with a site that was built, as far as zensical's strict mode does not say.

That one finds links from page to page that lead to no page or no heading. Not found by it are:

- pictures and files that are not there, and what a page would load from elsewhere;
- pages that the navigation does not name, and names in it that are no page;
- lists that hosts of repositories show as such and a site does not: without a blank line before them, or below another
  list's item and indented by less than four blanks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deploy.site.pages import TAKEN_ALONG

LOADED = {"script": "src", "img": "src", "link": "href"}
"""Elements that a browser loads, and the attribute that says whence."""
TEXT = {"p", "li", "pre", "code"}
FENCES = ("```", "~~~")
SHALLOW_ITEM = re.compile(r" {1,3}(?:[-*]|\d+\.) ")
LIST_AS_TEXT = re.compile(r"\n *((?:[-*]|\d+\.) .{,40})")
UNRELATED = {"404.html"}  # is shown under any address: its links begin with a slash


def faults(pages: Path, site: Path, nav: Sequence[str]) -> list[str]:
    """A sentence for everything wrong with ``site``, which was built of ``pages`` with this navigation."""
    wrong = [*_unnamed(pages, nav), *_shallow_lists(pages)]
    return wrong or list(_broken(site))  # where every page would repeat what is wrong with the navigation


def _unnamed(pages: Path, nav: Sequence[str]) -> Iterator[str]:
    there = {path.relative_to(pages).as_posix() for path in _markdown(pages)}
    for name in sorted(page for page in there - set(nav) if not page.startswith(f"{TAKEN_ALONG}/")):
        yield f"docs/{name} is not in the navigation: add it to nav in zensical.toml"
    for name in sorted(set(nav) - there):
        yield f"zensical.toml names {name}, which is no page"


def _shallow_lists(pages: Path) -> Iterator[str]:
    for path in _markdown(pages):
        code = False
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            code ^= line.lstrip().startswith(FENCES)
            if not code and SHALLOW_ITEM.match(line):
                yield f"{path.relative_to(pages)}:{number}: a list below another one's item is indented by four blanks"


def _markdown(pages: Path) -> list[Path]:
    """The pages; a folder that is called like one holds what leads to it."""
    return sorted(path for path in pages.rglob("*.md") if path.is_file())


def _broken(site: Path) -> Iterator[str]:
    read = cache(_Page.read)
    for path in sorted(site.rglob("*.html")):
        if path.name in UNRELATED:
            continue
        name, page = path.relative_to(site).as_posix(), read(path)
        yield from (f"{name}: {fault}" for link in sorted(page.links) for fault in _dead(path, link, read))
        yield from (f"{name}: loads {link} from elsewhere" for link in sorted(page.foreign))
        yield from (f"{name}: a list becomes text at '{text}': a blank line before it" for text in page.flattened)


def _dead(path: Path, link: str, read: Callable[[Path], _Page]) -> Iterator[str]:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return
    target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        yield f"{link} leads nowhere"
    elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors:
        yield f"{link} leads to no heading"


class _Page(HTMLParser):
    """Links, anchors, what is loaded from other hosts, and what was meant as a list, of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.foreign: set[str] = set()
        self.flattened: list[str] = []
        self._within: list[str] = []

    @classmethod
    def read(cls, path: Path) -> _Page:
        page = cls()
        page.feed(path.read_text("utf-8"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in TEXT:
            self._within.append(tag)
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        link = given.get(LOADED.get(tag, "href"))
        if link is None or given.get("rel") == "canonical":
            return
        self.links.add(link)
        if tag in LOADED and urlsplit(link).netloc:
            self.foreign.add(link)

    def handle_endtag(self, tag: str) -> None:
        if self._within and tag == self._within[-1]:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if self._within and self._within[-1] in {"p", "li"}:
            self.flattened += LIST_AS_TEXT.findall(data)
