"""What Delta says when something fails, in the words that every process knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sie_online.errors import UnreachableError
from streams.store.failures import sentence

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class ConflictError(Exception):
    """Somebody else's commit came first."""


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """What the place cannot do, as the one error by which every process knows that its store has failed."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError as error:
        raise ConflictError(_plain(error)) from None
    except (DeltaError, OSError) as error:
        raise UnreachableError(sentence(url, "_delta_log", Exception(_plain(error)))) from error


@contextmanager
def if_nobody_else_does() -> Iterator[None]:
    """Two may find that there is no table; the second to make it takes the first one's."""
    from deltalake.exceptions import DeltaError

    try:
        yield
    except DeltaError as error:
        if "already exists" not in str(error):
            raise


def _plain(error: BaseException) -> str:
    """What Delta says, without the colours that it says it in."""
    return COLOURS.sub("", str(error))
