"""What is said instead of an answer: problem details (RFC 9457), each with a sentence on what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

CONTENT_TYPE = "application/problem+json"
RETRY_S = 1
"""After so many seconds it is worth to ask again."""


class ProblemDetails(msgspec.Struct, frozen=True):
    """Members as in RFC 9457; ``type`` says that the status says what kind of problem it is."""

    type: str
    title: str
    status: int
    detail: str


class ProblemError(Exception):
    """A request that gets no answer; ``detail`` is a sentence for whoever asked, and quotes nothing of theirs."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def response(self) -> web.Response:
        """It, as what is sent."""
        details = ProblemDetails("about:blank", self.status.phrase, self.status.value, self.detail)
        return web.Response(
            body=msgspec.json.encode(details),
            status=self.status.value,
            headers=self.headers,
            content_type=CONTENT_TYPE,
        )


def not_found(detail: str) -> ProblemError:
    """Nothing is known of what was asked for."""
    return ProblemError(HTTPStatus.NOT_FOUND, detail)


def not_ready(detail: str) -> ProblemError:
    """It cannot be said now, and perhaps can soon."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(RETRY_S)})


def wrong(detail: str) -> ProblemError:
    """The request is not as the OpenAPI document says."""
    return ProblemError(HTTPStatus.BAD_REQUEST, detail)


class ElsewhereError(Exception):
    """Another worker is to be asked, at this base address, and told who has been asked."""

    def __init__(self, url: str, asked: tuple[str, ...]) -> None:
        super().__init__(url)
        self.url = url
        self.asked = asked
