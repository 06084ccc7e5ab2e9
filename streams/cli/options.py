"""Options in groups: a command takes a dataclass of options that belong together in place of each by itself."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as typer sees it: every field of a dataclass that it takes, in the place of that parameter."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups = {each.name: each.annotation for each in own if _is_group(each.annotation)}
    options = {name: inspect.signature(group, eval_str=True).parameters for name, group in groups.items()}

    @functools.wraps(command)
    def run(**values: Any) -> None:
        given = {name: groups[name](**{field: values.pop(field) for field in options[name]}) for name in groups}
        command(**given, **values)

    flat = [option for each in own for option in (options[each.name].values() if each.name in groups else [each])]
    keyword_only = [option.replace(kind=Parameter.KEYWORD_ONLY) for option in flat]
    run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    return run


def _is_group(annotation: Any) -> bool:
    return dataclasses.is_dataclass(annotation)
