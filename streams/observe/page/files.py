"""The files that the pages are drawn of, at addresses of their own: nothing is inline, so nothing inline need run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import resources

from aiohttp import web

ASSETS = resources.files("streams.observe.page") / "assets"
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
SHARED = ("page.css", "page.js", "curves.js", "models.js", "icon.svg")


def page_routes(name: str) -> Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
    """Routes of the page ``name``: itself at ``/``, and its style and scripts below ``/page/``."""
    return {"/": _file(f"{name}.html")} | {f"/page/{each}": _file(each) for each in (f"{name}.js", *SHARED)}


def _file(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    body, content_type = (ASSETS / name).read_bytes(), TYPES[name.rpartition(".")[2]]

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return respond
