"""Every route, once: path, parameters and answer. The server routes by it, and the OpenAPI document is made of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote, urlencode

from aiohttp import web

from streams.query.answers import EntitySums, Explanation, Recommendations, Score, Weights
from streams.query.problems import wrong

MOST_RECOMMENDED = 1_000
MOST_ASKED = 64
"""Workers that a request without a user is sent on to, at most."""
ASKED = f"[0-9a-f]{{6}}(,[0-9a-f]{{6}}){{0,{MOST_ASKED - 1}}}"
ANYTHING = r"[\s\S]+"
WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; of a text ``pattern`` says what it may be, of a number ``most``. Text is never empty."""

    name: str
    place: Literal["path", "query"]
    about: str
    example: Any
    default: Any = None
    pattern: str = ""
    most: int = 0

    @property
    def required(self) -> bool:
        """Whether it must be there."""
        return self.place == "path" or self.default is None

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of its value."""
        if self.most:
            return {"type": "integer", "minimum": 1, "maximum": self.most} | ({} if self.required else self._default)
        return {"type": "string", "minLength": 1} | ({"pattern": f"^{self.pattern}$"} if self.pattern else {})

    @property
    def _default(self) -> dict[str, Any]:
        return {"default": self.default}

    def value(self, text: str) -> str | int:
        """What ``text`` says; raises ``ProblemError`` where it is none."""
        if self.most:
            if not (WHOLE.fullmatch(text) and 1 <= int(text) <= self.most):
                raise wrong(f"{self.name} is a whole number from 1 to {self.most}")
            return int(text)
        if not text or not is_text(text) or (self.pattern and not re.fullmatch(self.pattern, text)):
            raise wrong(f"{self.name} is to be {self.about[0].lower()}{self.about[1:]} It is not empty, and UTF-8.")
        return text


def is_text(text: str) -> bool:
    """Whether all of ``text`` was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Route:
    """``problems``: statuses beside those that every route has. ``answer`` None: the OpenAPI document itself."""

    name: str
    path: str
    summary: str
    about: str
    parameters: tuple[Parameter, ...] = ()
    answer: type | None = None
    problems: tuple[HTTPStatus, ...] = ()

    @property
    def pattern(self) -> str:
        """The path for aiohttp: an id may have any character, also one that is spelled %2F."""
        pattern = self.path
        for parameter in self.parameters:
            if parameter.place == "path":
                name = parameter.name
                pattern = pattern.replace(f"{{{name}}}", f"{{{name}:{parameter.pattern or ANYTHING}}}")
        return pattern

    def read(self, request: web.Request) -> dict[str, Any]:
        """The values of all parameters; raises ``ProblemError`` where one is missing or none."""
        found: dict[str, Any] = {}
        for parameter in self.parameters:
            given = request.match_info if parameter.place == "path" else request.query
            if parameter.name in given:
                found[parameter.name] = parameter.value(given[parameter.name])
            elif parameter.required:
                raise wrong(f"{parameter.name} is missing from the query: {parameter.about}")
            else:
                found[parameter.name] = parameter.default
        return found

    def url(self, base: str, values: dict[str, Any]) -> str:
        """This route with these values at another worker."""
        path, query = self.path, {}
        for parameter in self.parameters:
            value = values[parameter.name]
            if parameter.place == "path":
                path = path.replace(f"{{{parameter.name}}}", quote(str(value), safe=""))
            elif value != parameter.default:
                query[parameter.name] = value
        return base + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")


_EVENT = Parameter("event_id", "path", "An event's event_id.", "e-1001")
_USER = Parameter("user", "query", "A user's user_id as the events have it.", "u-17")
_WHOSE = Parameter(
    "user",
    "query",
    "The event's user_id as the events have it: then the worker that has it is found at once.",
    "u-17",
    default="",
)
_ASKED = Parameter(
    "asked",
    "query",
    "Workers that have been asked already; put there by redirects.",
    "3fa9c1",
    default="",
    pattern=ASKED,
)
_EVENTS = (_EVENT, _WHOSE, _ASKED)

ROUTES = (
    Route(
        "weights",
        "/v1/weights/{event_id}",
        "What was published of an event lately, all revisions",
        "Each worker keeps the newest of what it has published (api.recent_bytes a partition, since it took the"
        " partition over); 404 says since when. 'sie explain' reads the whole topic.",
        _EVENTS,
        Weights,
        (HTTPStatus.NOT_FOUND,),
    ),
    Route(
        "explain",
        "/v1/explain/{event_id}",
        "Why an event has its weight",
        "The parts of the newest weight (their logs add up to log weight), each one's share, and all revisions. Of"
        " several events of that id the one of which something became known last.",
        _EVENTS,
        Explanation,
        (HTTPStatus.NOT_FOUND,),
    ),
    Route(
        "entities",
        "/v1/entities/{kind}/{id}",
        "What is known of a user, an item or a category",
        "A user is one partition's alone. Of an item or a category the answer sums the partitions that this worker"
        " has; whole says whether these are all.",
        (
            Parameter("kind", "path", "One of user, item and category.", "user", pattern="user|item|category"),
            Parameter("id", "path", "The entity's id as the events have it.", "u-17"),
            _ASKED,
        ),
        EntitySums,
        (HTTPStatus.NOT_FOUND,),
    ),
    Route(
        "score",
        "/v1/score",
        "How likely a user is to convert on an item now",
        "What would be published as the probability of a sample of the two, at the event time of the shard's clock."
        " Nothing is learned from the question. Who is not known is judged by what is known of everybody.",
        (
            _USER,
            Parameter("item", "query", "An item's item_id.", "i-3"),
            Parameter("category", "query", "The item's category_id, where its events have one.", "c-1", default=""),
            _ASKED,
        ),
        Score,
    ),
    Route(
        "recommend",
        "/v1/recommend",
        "What a user may like next",
        "The best items first; of a user who is not known, what is popular. Only where recommend.enabled is true.",
        (
            _USER,
            Parameter("n", "query", "How many at most.", 10, default=10, most=MOST_RECOMMENDED),
            _ASKED,
        ),
        Recommendations,
        (HTTPStatus.CONFLICT,),
    ),
    Route("openapi", "/v1/openapi.json", "This API as an OpenAPI 3.1 document", "For generators of clients."),
)
NAMES = frozenset(route.name for route in ROUTES)
