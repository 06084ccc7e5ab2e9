"""How often the Query API is asked what, what becomes of it, and how long it takes."""

from __future__ import annotations

from collections.abc import Collection

from streams.observe.families import Families, known

STATUSES = frozenset(map(str, (200, 307, 400, 401, 404, 405, 409, 421, 500, 503)))
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class QueryMetrics:
    """Requests by route: one of ``routes``, else ``other``."""

    def __init__(self, families: Families, routes: Collection[str]) -> None:
        self._routes = routes
        self._requests = families.counter("api_requests", "Requests to the Query API.", "route", "status")
        self._seconds = families.histogram(
            "api_request_seconds", "Time from a request's head to its answer, waits included.", SECONDS, "route"
        )
        for route in routes:
            self._requests.labels(route, "200")

    def observe(self, route: str, status: int, seconds: float) -> None:
        """A request was answered with ``status``."""
        label = known(route, self._routes)
        self._requests.labels(label, known(status, STATUSES)).inc()
        self._seconds.observe(seconds, labels=(label,))
