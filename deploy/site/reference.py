"""The page of what a training job imports, made of signatures and docstrings: ``reference.md`` of the site.

It takes docstrings as they are written here: ``names`` in pairs of backticks, an example behind ``::``, and sections
such as ``Args:`` with an entry a line. ``SampleDataset`` is left to ``docs/client.md``: importing torch would take
longer than building the site.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import sie_online

BESIDE_PUBLIC = ("sie_online.client.subscriber:BatchSubscriber", "sie_online.client.entities:EntityTable")
TOLD_ELSEWHERE = {"EntityName", "Settings", "__version__"}
PAGE = "reference.md"
INTRODUCTION = (
    "What `sie_online` offers to a training job or an application, by name. Whole programs are on the pages *Reading "
    "weights from Python*, *Cookbook* and *Recommending*."
)
LONGEST_LINE = 100
SECTION = re.compile(r"^(Args|Raises|Returns|Yields):\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)
ENTRY = re.compile(r"^    (\w+): ", re.MULTILINE)


def reference() -> str:
    """The page, as Markdown."""
    names = [f"sie_online:{name}" for name in sie_online.__all__ if name not in TOLD_ELSEWHERE]
    described = (text for name in (*names, *BESIDE_PUBLIC) for text in _described(name))
    return "\n\n".join(["# Python reference", INTRODUCTION, *described]) + "\n"


def _described(name: str) -> Iterator[str]:
    module, _, attribute = name.partition(":")
    thing = getattr(import_module(module), attribute)
    yield f"## {attribute}"
    yield f"```python\nfrom {module} import {attribute}\n```"
    if inspect.isclass(thing) and not issubclass(thing, tuple | BaseException):
        yield _signature(attribute, thing.__init__, 1)
    elif inspect.isroutine(thing):
        yield _signature(attribute, thing, 0)
    yield from _text(thing)
    for method, what in _members(thing):
        yield f"### {attribute}.{method}"
        if inspect.isroutine(what):
            yield _signature(method, what, 1)
        yield from _text(what)


def _members(thing: Any) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that say what they do, its own before those of its bases."""
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        ours = [base for base in thing.__mro__ if base.__module__.startswith("sie_online")]
        members = {name: what for base in reversed(ours) for name, what in vars(base).items()}
        for name, what in members.items():
            if not name.startswith("_") and (inspect.isfunction(what) or isinstance(what, property)):
                yield name, what


def _signature(name: str, what: Any, bound: int) -> str:
    signature = inspect.signature(what)
    parameters = [_parameter(parameter) for parameter in list(signature.parameters.values())[bound:]]
    returned = signature.return_annotation
    arrow = "" if returned in (inspect.Signature.empty, "None") else f" -> {returned}"
    begin = f"{'async ' if inspect.iscoroutinefunction(what) else ''}{name}("
    text = f"{begin}{', '.join(parameters)}){arrow}"
    if len(text) > LONGEST_LINE:
        lines = ",\n    ".join(parameters)
        text = f"{begin}\n    {lines},\n){arrow}"
    return f"```python\n{text}\n```"


def _parameter(parameter: inspect.Parameter) -> str:
    text = f"{parameter.name}: {parameter.annotation}"
    return text if parameter.default is inspect.Parameter.empty else f"{text} = {parameter.default!r}"


def _text(what: Any) -> Iterator[str]:
    """The docstring as Markdown."""
    said = inspect.getdoc(what) or ""
    said = SECTION.sub(lambda found: f"**{found[1]}**\n\n{_entries(found[2])}", f"{said}\n")
    yield said.replace("``", "`").replace("::\n", ":\n").strip()


def _entries(section: str) -> str:
    return ENTRY.sub(r"- `\1`: ", section) if ENTRY.search(section) else inspect.cleandoc(section)
