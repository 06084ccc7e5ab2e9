"""The pages of the site: all of ``docs/``, what outside it a page links to or the navigation names, and the reference.

On a host of repositories a link such as ``../CONTRIBUTING.md`` leads out of ``docs/``; a site has nothing there. What
is linked is taken along below ``repository/`` (Markdown as it is, any other file as a page that shows it), and such
links are turned there, and a link whose text is a page's file has the page's title instead. A page keeps its lines, so
that messages about it name those of its source. Under its address in the repository each page of docs is answered too
(``redirects``).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.site.redirects import DOCS, redirects
from deploy.site.reference import PAGE, reference

TAKEN_ALONG = "repository"
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)")
NAMED = re.compile(r"\[(?P<text>[\w./-]+\.md)\](?=\((?P<page>[^)\s#:]+\.md)[)#])")
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


class UnlinkableError(Exception):
    """A page links to what cannot be a page of the site."""


def gather(root: Path, into: Path) -> None:
    """Make ``into`` hold the site's pages and nothing else; files that are right already are left alone.

    Raises ``UnlinkableError`` where a link leads to a folder outside docs, or to nothing.
    """
    there = {path for path in into.rglob("*") if path.is_file()}
    pages = dict(_pages(root))
    of_docs = (place for place in pages if place.suffix == ".md" and place.parts[0] != TAKEN_ALONG)
    wanted = {**pages, **dict(redirects(of_docs)), PurePosixPath(PAGE): reference().encode()}
    for place, content in wanted.items():
        _write(into / place, content)
    for path in there - {into / place for place in wanted}:
        path.unlink()


def navigation(config: Path) -> list[str]:
    """The pages that the configuration's navigation names, in its order."""
    return list(_leaves(tomllib.loads(config.read_text("utf-8"))["project"]["nav"]))


def _leaves(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from _leaves(below)


def _pages(root: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Place in the site and content of every file; of those outside docs what is linked, and what these link."""
    named = (name for name in navigation(root / "zensical.toml") if name.startswith(f"{TAKEN_ALONG}/"))
    due = [PurePosixPath(name).relative_to(TAKEN_ALONG) for name in named]
    due += [PurePosixPath(path.relative_to(root).as_posix()) for path in (root / DOCS).rglob("*") if path.is_file()]
    seen = set(due)
    while due:
        source = due.pop()
        content, linked = _page(root, source)
        yield place_of(source), content
        due += sorted(linked - seen)
        seen |= linked


def _page(root: Path, source: PurePosixPath) -> tuple[bytes, set[PurePosixPath]]:
    """A file as the site has it, and the files outside docs that it links to."""
    content = (root / source).read_bytes()
    if source.suffix != ".md":
        return (content if source.parts[0] == DOCS else _shown(source, content)), set()
    linked: set[PurePosixPath] = set()

    def turned(link: re.Match[str]) -> str:
        target = PurePosixPath(os.path.normpath(source.parent / link[0]))
        if target.parts[0] == DOCS and source.parts[0] == DOCS:
            return link[0]
        if target.parts[0] != DOCS:
            if not (root / target).is_file():
                raise UnlinkableError(
                    f"{source} links to {link[0]}, which is no file: link to a file, or name it in code"
                )
            linked.add(target)
        return os.path.relpath(place_of(target), place_of(source).parent)

    text = NAMED.sub(lambda link: f"[{_title(root, source, link)}]", content.decode("utf-8"))
    return LINK.sub(turned, text).encode("utf-8"), linked


def _title(root: Path, source: PurePosixPath, link: re.Match[str]) -> str:
    """The heading of the page that a link names by its file, as files mean nothing on a site; else the link's text."""
    page = root / os.path.normpath(source.parent / link["page"])
    heading = re.search(r"^# (.+)$", page.read_text("utf-8"), flags=re.MULTILINE) if page.is_file() else None
    return heading[1] if heading else link["text"]


def place_of(source: PurePosixPath) -> PurePosixPath:
    """Where a file of the repository lies in the site's pages."""
    if source.parts[0] == DOCS:
        return PurePosixPath(*source.parts[1:])
    return TAKEN_ALONG / (source if source.suffix == ".md" else source.with_name(f"{source.name}.md"))


def _shown(source: PurePosixPath, content: bytes) -> bytes:
    """A page that shows a file which is none."""
    text = content.decode("utf-8")
    return f"{NOT_SEARCHED}# {source.name}\n\n`{source}`\n\n~~~~{source.suffix[1:]}\n{text}\n~~~~\n".encode()


def _write(path: Path, content: bytes) -> None:
    if not (path.is_file() and path.read_bytes() == content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
