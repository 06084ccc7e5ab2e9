"""What is wrong with a site that was built, as far as zensical's strict mode does not say.

That one finds links from page to page that lead to no page or no heading. Not found by it are: pictures and files that are
not there, pages that the navigation does not name, names in the navigation that are no page, and what a page would
load from elsewhere; nor lists that begin without a blank line, or are indented by less than four blanks below another, which
hosts of repositories show as lists and a site as running text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deploy.site.pages import TAKEN_ALONG

LOADED = {"script": "src", "img": "src", "link": "href"}
"""Elements that a browser loads, and the attribute that says whence."""
TEXT = {"p", "li", "pre", "code"}
LIST_AS_TEXT = re.compile(r"\n *((?:[-*]|\d+\.) .{,40})")
UNRELATED = {"404.html"}  # is shown under any address: its links begin with a slash


def faults(pages: Path, site: Path, nav: Sequence[str]) -> list[str]:
    """A sentence for everything wrong with ``site``, which was built of ``pages`` with this navigation."""
    return list(_unnamed(pages, nav)) or list(_dead_links(site))  # each page repeats what is wrong with the navigation


def _unnamed(pages: Path, nav: Sequence[str]) -> Iterator[str]:
    there = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    for name in sorted(page for page in there - set(nav) if not page.startswith(f"{TAKEN_ALONG}/")):
        yield f"docs/{name} is not in the navigation: add it to nav in zensical.toml"
    for name in sorted(set(nav) - there):
        yield f"zensical.toml names {name}, which is no page"


def _dead_links(site: Path) -> Iterator[str]:
    read = cache(_Page.read)
    for path in sorted(site.rglob("*.html")):
        if path.name in UNRELATED:
            continue
        page = path.relative_to(site).as_posix()
        for link in sorted(read(path).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{page}: {link} leads nowhere"
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors:
                yield f"{page}: {link} leads to no heading"
        yield from (f"{page}: loads {link} from elsewhere" for link in sorted(read(path).foreign))
        yield from (f"{page}: a list becomes text at '{text}'" for text in read(path).flattened)


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
