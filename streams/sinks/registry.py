"""The sinks that a worker can have beside Kafka, by the name that ``sinks`` gives them.

A new one is its module and one line in ``SINKS``.
"""

from __future__ import annotations

from sie_online.errors import SettingsError
from sie_online.plugins import find_class
from streams.sinks.parquet import ParquetFolder
from streams.sinks.port import Sink

SETTING = "sinks"

SINKS: dict[str, type[Sink]] = {
    "parquet": ParquetFolder,
}
"""Each is made with the text after ``=``, or, where there is none, with the empty one. That opens nothing yet."""


def new_sink(entry: str) -> Sink:
    """The sink of an entry of ``sinks``: ``NAME=ARGUMENT``, NAME of ``SINKS`` or ``package.module:Class``.

    Raises:
        SettingsError: there is no such sink, or it does not take the argument.
    """
    name, _, argument = entry.partition("=")
    made = find_class(SETTING, name, SINKS, Sink)  # type: ignore[type-abstract]  # to be a subclass of
    try:
        return made(argument)  # type: ignore[call-arg]  # what each is made with
    except TypeError as error:
        raise SettingsError(f"{SETTING}: {name!r} cannot be made of one text, that after '=': {error}") from error
