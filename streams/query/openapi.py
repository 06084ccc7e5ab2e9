"""The OpenAPI 3.1 document, made of the routes and of what answers consist of."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from sie_online.contracts import CODE_VERSION
from streams.query.problems import CONTENT_TYPE, ProblemDetails
from streams.query.routes import ROUTES, Route

REFERENCE = "#/components/schemas/{name}"
EVERYWHERE = {
    HTTPStatus.TEMPORARY_REDIRECT: "The partition is another worker's: ask there, with the same token.",
    HTTPStatus.BAD_REQUEST: "A parameter is missing or none.",
    HTTPStatus.UNAUTHORIZED: "No token, or none that is known.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now: too many ask, or the partition is being taken over.",
}
SAID = {
    HTTPStatus.NOT_FOUND: "Nothing is known of it here.",
    HTTPStatus.CONFLICT: "Recommending is off.",
}


@cache
def document() -> bytes:
    """The document as JSON."""
    schemas, components = msgspec.json.schema_components(
        [*(route.answer for route in ROUTES if route.answer), ProblemDetails], ref_template=REFERENCE
    )
    answers = iter(schemas)
    paths = {
        route.path: {"get": _operation(route, next(answers) if route.answer else {"type": "object"})}
        for route in ROUTES
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "sie-online queries",
                "version": CODE_VERSION,
                "description": "What a worker knows of events, entities and pairs. Read-only.",
            },
            "security": [{"token": []}],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _operation(route: Route, answer: dict[str, Any]) -> dict[str, Any]:
    problems = {status: EVERYWHERE[status] for status in EVERYWHERE} | {one: SAID[one] for one in route.problems}
    if not route.answer:
        del problems[HTTPStatus.TEMPORARY_REDIRECT], problems[HTTPStatus.BAD_REQUEST]
    return {
        "operationId": route.name,
        "summary": route.summary,
        "description": route.about,
        "parameters": [
            {
                "name": each.name,
                "in": each.place,
                "description": each.about,
                "required": each.required,
                "schema": each.schema,
                "example": each.example,
            }
            for each in route.parameters
        ],
        "responses": {"200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}}}
        | {str(status.value): _problem(status, about) for status, about in sorted(problems.items())},
    }


def _problem(status: HTTPStatus, about: str) -> dict[str, Any]:
    if status is HTTPStatus.TEMPORARY_REDIRECT:
        return {"description": about, "headers": {"Location": {"schema": {"type": "string"}}}}
    schema = {"$ref": REFERENCE.format(name=ProblemDetails.__name__)}
    said: dict[str, Any] = {"description": about, "content": {CONTENT_TYPE: {"schema": schema}}}
    if status is HTTPStatus.UNAUTHORIZED:
        said["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        said["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return said
