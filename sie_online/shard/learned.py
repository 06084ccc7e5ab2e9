"""What one partition has taught a shard: the kernels' state with its open views on disk, and what is learned beside.

It changes where the event loop runs over events and where a model is put in. To be asked it is `questions`' business,
to be spoken of `assembly`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from sie_online.announcements import NET, NOISE, PRIORS
from sie_online.errors import UsageError
from sie_online.importance.influence import NetArrays, no_net, own
from sie_online.importance.noise import start_from
from sie_online.importance.noise.model import NoiseArrays, default_noise
from sie_online.ingest.events import EventBatch
from sie_online.pseudonyms import longest_id
from sie_online.ranking.pooling import Neighbourhoods
from sie_online.recommender.pooling import Gains
from sie_online.settings import Settings
from sie_online.shard import snapshot
from sie_online.shard.buffers import output_buffers
from sie_online.shard.clock import end_ms, now_ms
from sie_online.shard.external import External
from sie_online.shard.layout import layout_of
from sie_online.shard.loop import Texts, run
from sie_online.shard.output import CLAIM, ENLARGE, Out, new_out
from sie_online.shard.patches import Piece, Table
from sie_online.shard.pooled import PooledCoefficients
from sie_online.shard.ranking import Ranking
from sie_online.shard.schedule import Artifact
from sie_online.shard.state import config_of, new_state, new_views

NO_LISTS = "there are no lists of items for users: set recommend.enabled=true, and they are learned from then on"


class Learned:
    """What a shard knows.

    Args:
        settings: of the deployment; those in ``ROW_SECTIONS`` say what is learned.
        scratch: folder for the file of open views; the system's temporary folder by default.

    Attributes:
        config: the kernels' scalars.
        state: the kernels' arrays; another one after a restore, or when a model is put in.
        external: the River classifier in the recommender's place, if one is set.
        ranking: what lists are made of, if they are switched on.
    """

    def __init__(self, settings: Settings, scratch: Path | None) -> None:
        self.config = config_of(settings)
        self._views_file = new_views(settings, scratch)
        self.state = new_state(settings, self._views_file.views)
        self.external = External(settings.recommender) if settings.recommender.classifier else None
        self.ranking = Ranking(settings) if settings.recommend.enabled else None
        self._pooled = PooledCoefficients(settings)
        self._layout = msgspec.to_builtins(layout_of(self.state))
        self._id_bytes = longest_id(settings)

    @property
    def clock_ms(self) -> int:
        """What the clock says (`sie_online.shard.clock`), ms since 1970; 0 before the first event."""
        return int(now_ms(self.state.clock[0]))

    @property
    def end_ms(self) -> int:
        """Latest event time, should the log end here (`sie_online.shard.clock`), ms; 0 before the first event."""
        return int(end_ms(self.config.belief, self.state.clock[0]))

    def require_ranking(self) -> Ranking:
        """What lists are made of.

        Raises:
            UsageError: ``recommend.enabled`` is false.
        """
        if self.ranking is None:
            raise UsageError(NO_LISTS)
        return self.ranking

    # -- events

    def learn(self, events: EventBatch, at: int, until: int) -> tuple[int, Out]:
        """Run the event loop from row ``at`` until the output needs draining or row ``until`` is reached.

        Returns how far it came, and the output, which is good until the next call.
        """
        texts, out = _texts(events), output_buffers(self._id_bytes)
        while True:
            at = self._run(events, texts, at, until, out)
            stop = out.control["stop"][0]
            if stop == CLAIM:
                self._claim_views(1, int(out.control["needed"][0]))
            elif stop == ENLARGE:
                out = new_out(2 * int(out.control["needed"][0]), self._id_bytes)
            else:
                return at, out

    def _run(self, events: EventBatch, texts: Texts, at: int, until: int, out: Out) -> int:
        columns = events.columns[:until]
        if self.external:
            return self.external.run(self.config, self.state, columns, texts, at, out)
        return int(run(self.config, self.state, columns, texts, at, out))

    def _claim_views(self, n: int = 0, id_bytes: int = 0) -> None:
        """Have disk for ``n`` more open views, with ``id_bytes`` of ids, and for none that is settled."""
        head, tail, ids_head, ids_tail = snapshot.bounds_of(self.state)
        self._views_file.claim(head, tail + n, ids_head, ids_tail + id_bytes)

    def release_views(self) -> None:
        """Give back the disk of settled views, and the memory of open ones that are neither new nor settle next."""
        self._claim_views()
        self._views_file.rest()

    # -- models

    def put(self, model: str, artifact: Artifact | None) -> None:
        """Have ``artifact`` in force in place of what was; None: the built-in model, nothing of other shards."""
        if model == PRIORS:
            others = cast(Gains | None, artifact)
            self._pooled.put(self.state.model, others)
            self.put_neighbourhoods(None if others is None else others.neighbourhoods)
        else:
            self._read(model, artifact)
        if model == NOISE:
            start_from(self.state.population[0], self.state.noise)

    def put_neighbourhoods(self, others: Neighbourhoods | None) -> None:
        """Rank by what ``others`` have counted, too, in the place of any put in before; None takes it out again."""
        if self.ranking:
            self.ranking.put_others(others)

    def own_gains(self) -> Gains:
        """What was learned from this partition alone."""
        return self._pooled.own(self.state.model)._replace(neighbourhoods=self.own_neighbourhoods())

    def own_neighbourhoods(self) -> Neighbourhoods | None:
        """What this partition has counted for its lists; None where it does not learn to rank."""
        return self.ranking.counted() if self.ranking else None

    def _read(self, model: str, artifact: Artifact | None) -> None:
        """Have the kernels read ``artifact``, of a model of `schedule.NAMED`, from now on."""
        if model == NET:
            self.state = self.state._replace(net=no_net() if artifact is None else own(cast(NetArrays, artifact)))
        else:
            self.state = self.state._replace(noise=cast(NoiseArrays | None, artifact) or default_noise())

    # -- snapshots

    def layouts(self) -> dict[str, Any]:
        """What the bytes of the tables and pieces mean, for a snapshot's ``meta``."""
        return {"layout": self._layout} | ({"ranking": self.ranking.layout()} if self.ranking else {})

    def tables(self) -> Iterator[Table]:
        """What is to be saved row by row beside the state's own tables."""
        return self.ranking.tables() if self.ranking else iter(())

    def pieces(self) -> dict[str, bytes]:
        """What is to be saved whole beside the state's own arrays."""
        external = self.external.pieces() if self.external else {}
        return self._pooled.pieces() | external | (self.ranking.pieces() if self.ranking else {})

    def restore(self, meta: Mapping[str, Any], pieces: Mapping[str, Piece], artifacts: Mapping[str, Artifact]) -> bool:
        """Go on with what a snapshot holds, under the ``artifacts`` it names, by model.

        Returns whether lists go on, too; False where it has none, or under other bounds. True where none are made.

        Raises:
            CheckpointError: the pieces do not fit together.
        """
        self.state = snapshot.restored(self.state, self._views_file, meta, pieces)
        self._pooled.restore(pieces)
        for model, artifact in artifacts.items():
            self._read(model, artifact)
        if self.external:
            self.external.restore(pieces)
        return self.ranking is None or self.ranking.restore(meta, pieces)


def _texts(events: EventBatch) -> Texts:
    return Texts(
        events.event_id.offsets,
        events.event_id.data,
        events.user_id.offsets,
        events.user_id.data,
        events.item_id.offsets,
        events.item_id.data,
    )
