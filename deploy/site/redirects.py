"""The addresses that pages have in the repository, answered by the site as well: an alert's link works on both.

Alerts and panels link to ``docs/runbooks/<alert>.md`` behind a base of the reader's choice. A host of repositories has
the page there; the site has it elsewhere. So the site has a folder of that name, with a page in it that leads on: web
servers that are asked for a folder answer with its ``index.html``, whatever the folder is called.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import PurePosixPath

DOCS = "docs"
README = "README.md"
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="robots" content="noindex">
<meta http-equiv="refresh" content="0; url={target}">
<title>{name}</title>
<p>This page is at <a href="{target}">{target}</a>.</p>
</html>
"""


def redirects(pages: Iterable[PurePosixPath]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Place and content of what leads from each page's address in the repository, ``docs/…``, to it.

    ``pages`` are Markdown files by their places in the site. Of a README the folder is such an address, too.
    """
    for page in pages:
        yield _redirect(DOCS / page, page)
        if page.name == README:
            yield _redirect(DOCS / page.parent, page)


def _redirect(address: PurePosixPath, page: PurePosixPath) -> tuple[PurePosixPath, bytes]:
    target = escape(os.path.relpath(_built(page), address))
    return address / "index.html", PAGE.format(target=target, name=escape(page.stem)).encode()


def _built(page: PurePosixPath) -> PurePosixPath:
    """Where the built site has it."""
    return page.with_name("index.html") if page.name == README else page.with_suffix(".html")
