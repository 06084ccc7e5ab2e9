"""Who writes a Parquet table: takes it, holds it against what others say, and takes it back from a visitor.

A sink stays; a visitor (``sie sink --compact``, ``sie erase --lake``) does its steps and goes. Each claims the table,
which has whoever held it find out before its next step, or right after a manifest of its own that may not count:

- a sink that finds another sink's claim ends; one that finds a visitor's takes the table back, and goes on from
  whatever the newest manifest says then, which may be its own last one or not;
- a visitor takes it back from anybody: its steps are small, and what was not done is done again.

What is claimed is read after the claim, and what is put is looked after: so of two that are at it at the same time
either the later has read the manifest of the earlier, or the earlier knows that it may not have been read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import pyarrow as pa

from sie_online.errors import DecisionError, UsageError
from streams.lake.manifest import LAYOUT, SINK, Manifest, ManifestFolder
from streams.lake.port import About

log = logging.getLogger(__name__)


class Tenure:
    """Of one process on the table in ``folder``."""

    def __init__(self, folder: ManifestFolder) -> None:
        self._folder = folder
        self._owner = SINK
        self._manifest: Manifest | None = None
        self._unsure: Sequence[str] = ()

    @property
    def manifest(self) -> Manifest:
        """The newest, as far as this process knows."""
        if self._manifest is None:
            raise ValueError("the table was not taken over")
        return self._manifest

    def look(self) -> Manifest:
        """The newest manifest, whoever holds the table.

        Raises:
            UsageError: there is no table.
        """
        return self._following(self._folder.newest(), None, 0)

    def take(self, about: About | None, owner: int) -> Manifest:
        """Claim the table for ``owner`` (SINK or VISITOR), making it where ``about`` says of what.

        Raises:
            UsageError: there is no table, and ``about`` is None.
        """
        self._following(self._folder.newest(), about, 0)  # refuses before it takes it from anybody
        self._owner = owner
        return self._claim(about)

    def keep(self) -> None:
        """Hold the table for the next step: what stands in ``manifest`` now is in force.

        Raises:
            DecisionError: another sink has taken it over from this one.
        """
        if self.stands():
            return
        epoch = self.manifest.epoch
        if self._owner == SINK and self._folder.is_of_another_sink(epoch):
            raise DecisionError(
                f"{self._folder.url}: another sink has taken this table over (epoch {self._folder.newest_epoch()}, this"
                f" is {epoch}): what that one commits counts, and nothing is lost. A table has one sink: stop the"
                " other, or leave this be"
            )
        self._claim(None)
        log.info("table taken back", extra={"table": self._folder.url, "epoch": self.manifest.epoch})

    def put(self, manifest: Manifest, new: Sequence[str]) -> bool:
        """Make ``manifest``, whose ``new`` files nobody else names, the newest; whether it is in force.

        Otherwise somebody has claimed the table meanwhile, and ``keep`` will tell.
        """
        self._unsure = new
        self._folder.put(manifest)
        self._manifest = manifest
        return self.stands()

    def stands(self) -> bool:
        """Whether nobody has claimed the table since."""
        return self._folder.newest_epoch() == self.manifest.epoch

    def _claim(self, about: About | None) -> Manifest:
        epoch = self._folder.claim(self._owner)
        first = self._following(self._folder.newest(), about, epoch)  # looked at anew, now that it is ours
        self._folder.put(first)  # above all that anybody of an earlier epoch may still say
        self._folder.put_latest(first)
        self._manifest = first
        self._folder.sweep_intents(first)
        named = {file.path for file in first.files} | {each.path for each in first.retired}
        for path in self._unsure:  # a rival has swept our intent already, and we wrote on
            if path not in named:
                self._folder.store.delete(path)
        self._unsure = ()
        return first

    def _following(self, found: Manifest | None, about: About | None, epoch: int) -> Manifest:
        """What ``found`` says, under a new epoch; of a new table what ``about`` does."""
        if found is not None:
            return msgspec.structs.replace(found, epoch=epoch, number=0)
        if about is None:
            raise UsageError(f"{self._folder.url}: there is no table of 'sie sink'")
        return Manifest(LAYOUT, epoch, 0, about.topic, about.topic_id, about.rows, columns(about.schema), {})


def columns(schema: pa.Schema) -> dict[str, str]:
    """Names and types of columns, as a manifest has them."""
    return {field.name: str(field.type) for field in schema}
