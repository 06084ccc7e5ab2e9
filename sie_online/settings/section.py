"""What every group of settings has in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A file, or none: an empty variable means none and not the current directory."""


class Section(BaseModel):
    """A group of settings; unknown names are refused, so that a typing error cannot pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def settings_of(definition: type[Any]) -> Callable[[type[S]], type[S]]:
    """Put the fields of ``definition``, a dataclass of ``hyperparameters``, before those of a section."""
    types = get_type_hints(definition)
    defined = {each.name: (types[each.name], Field(each.default, **each.metadata)) for each in fields(definition)}

    def completed(section: type[S]) -> type[S]:
        own = {name: (each.annotation, each) for name, each in section.model_fields.items()}
        named = {"__doc__": section.__doc__, "__module__": section.__module__}
        made: Any = create_model(section.__name__, __base__=Section, **named, **defined, **own)  # type: ignore[call-overload]
        return cast(type[S], made)

    return completed
