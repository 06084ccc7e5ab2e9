"""All settings of one deployment together: where their values come from, and what is wrong with them."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from sie_online.errors import SettingsError
from sie_online.settings.environment import names, suggestion, unknown_variables, variable_of
from sie_online.settings.operation import Api, Checkpoint, Kafka, Output, Topics, Watchdog, Web
from sie_online.settings.recommendation import Recommend
from sie_online.settings.rows import Dedupe, Entities, Events, Guard, Importance, Labels, Limits, Privacy, Recommender
from sie_online.settings.training import Models, Trainer

ESCAPED = 6
"""Bytes that one of an id can take in JSON: a control character is written as its number."""
LIST_BESIDE = 1_000
"""Bytes of a published list beside its ids, and of its message beside its value, at most."""

ROW_SECTIONS = ("events", "limits", "labels", "dedupe", "entities", "recommender", "importance", "guard", "privacy")


class Settings(BaseSettings):
    """All settings of one deployment. Use ``load`` rather than the constructor: it explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="SIE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    broker: str = Field("127.0.0.1:9092", description="Bootstrap servers, host:port, comma-separated.")
    group: str = Field("sie", description="Consumer group of the workers.")
    instance_id: str = Field("", description="Static group membership: a stable name of this worker; empty: dynamic.")
    store: str = Field(
        "file:///var/lib/sie",
        description="Place of checkpoints and models, shared by workers and trainer: file:///absolute/path, "
        "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.",
    )
    sinks: tuple[str, ...] = Field(
        (), description="Where weights and samples go beside Kafka: parquet=URL, or package.module:Class=ARGUMENT."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    kafka: Kafka = Field(default_factory=lambda: Kafka())
    topics: Topics = Field(default_factory=lambda: Topics())
    output: Output = Field(default_factory=lambda: Output())
    events: Events = Field(default_factory=lambda: Events())
    limits: Limits = Field(default_factory=lambda: Limits())
    labels: Labels = Field(default_factory=lambda: Labels())
    dedupe: Dedupe = Field(default_factory=lambda: Dedupe())
    entities: Entities = Field(default_factory=lambda: Entities())
    recommender: Recommender = Field(default_factory=lambda: Recommender())
    recommend: Recommend = Field(default_factory=lambda: Recommend())
    importance: Importance = Field(default_factory=lambda: Importance())
    guard: Guard = Field(default_factory=lambda: Guard())
    checkpoint: Checkpoint = Field(default_factory=lambda: Checkpoint())
    watchdog: Watchdog = Field(default_factory=lambda: Watchdog())
    web: Web = Field(default_factory=lambda: Web())
    api: Api = Field(default_factory=lambda: Api())
    trainer: Trainer = Field(default_factory=lambda: Trainer())
    models: Models = Field(default_factory=lambda: Models())
    privacy: Privacy = Field(default_factory=lambda: Privacy())

    @field_validator("broker")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for address in value.split(","):
            host, colon, port = address.strip().rpartition(":")
            if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
                raise ValueError(f"{address!r} is no address: write host:port, several separated by commas")
        return value

    @field_validator("store")
    @classmethod
    def _store_url(cls, value: str) -> str:
        scheme, colon, rest = value.partition("://")
        if not (scheme and colon and rest) or (scheme == "file" and not rest.startswith("/")):
            raise ValueError(f"{value!r} is no URL of a store: write file:///absolute/path or s3://bucket/prefix")
        return value  # which kinds there are is the store's to say: it refuses the others when it is opened

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.recommender.classifier and not self.store.startswith("file://"):
            raise ValueError("recommender.classifier works only with a file:// store")
        if self.recommend.publish and not self.recommend.enabled:
            raise ValueError("recommend.publish needs recommend.enabled: there would be no lists to publish")
        if self.recommend.publish and self._largest_list_bytes > self.kafka.max_message_bytes:
            raise ValueError(
                f"a list may take {self._largest_list_bytes} bytes (recommend.list_length items of limits.id_bytes"
                f" bytes, each up to {ESCAPED} in JSON), more than kafka.max_message_bytes: lower one of the two, or"
                " raise that"
            )
        if self.watchdog.checkpoint_s < 3 * self.checkpoint.interval_s:
            raise ValueError("watchdog.checkpoint_s must be at least three times checkpoint.interval_s")
        return self

    @property
    def _largest_list_bytes(self) -> int:
        """Of a message of ``sie.recs.v1``: the items, the user's id in key and value, what stands between them."""
        ids = self.recommend.list_length + 2
        return ids * (ESCAPED * self.limits.id_bytes + len('"",')) + LIST_BESIDE

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Code over environment over the file that ``SIE_CONFIG`` names."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, os.environ.get("SIE_CONFIG") or None)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of every setting that changes published rows."""
        sections = set(ROW_SECTIONS)
        if self.events == Events():  # younger than the states that are to go on: counts where it changes something
            sections.remove("events")
        rows = self.model_dump_json(include=sections)
        return hashlib.sha256(rows.encode()).hexdigest()


HOW_TO_WRITE = (
    "in the environment a list is JSON, as in SIE_IMPORTANCE__FACTORS='[\"noise\"]', "
    "and a section's settings have variables of their own, as SIE_WEB__PORT=0"
)


def load(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings from all sources; ``overrides`` is nested, as in ``{"web": {"port": 0}}``.

    Raises:
        SettingsError: a value is refused or a name is unknown; one line per problem, each naming the setting.
    """
    _refuse_unreadable_file(os.environ.get("SIE_CONFIG"))
    try:
        settings = Settings(**(overrides or {}))
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(problem) for problem in error.errors())) from None
    except SourceError as error:
        raise SettingsError(f"{error}: {HOW_TO_WRITE}") from None
    _refuse_unknown_environment()
    return settings


def _refuse_unreadable_file(file: str | None) -> None:
    if not file:
        return
    try:
        tomllib.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"SIE_CONFIG names {file}, which cannot be read: {error.strerror}") from None
    except ValueError as error:  # TOML and UTF-8 errors alike
        raise SettingsError(f"SIE_CONFIG names {file}, which is no TOML: {error}") from None


def _sentence(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    path = [part for part in problem["loc"] if isinstance(part, str)]  # without the position in a list
    if not path:
        return message
    name = ".".join(path)
    if problem["type"] == "extra_forbidden":
        message = f"there is no such setting; {SEE_NAMES}{suggestion(name, list(names(Settings)))}"
    return f"{name}: {message} (environment: {variable_of(name)})"


SEE_NAMES = "see 'sie config show' for the names there are"
KNOWN_ELSEWHERE = {"SIE_CONFIG", "SIE_CACHE_DIR"}


def _refuse_unknown_environment() -> None:
    known = [*map(variable_of, names(Settings)), *KNOWN_ELSEWHERE]
    if unknown := list(unknown_variables(Settings.model_fields, KNOWN_ELSEWHERE)):
        raise SettingsError(
            "\n".join(f"{each} is no setting: unset it, or {SEE_NAMES}{suggestion(each, known)}" for each in unknown)
        )
