"""Other engines on the same events, each in an environment of its own: what each is asked to do, and its versions.

``PEERS`` is the one place with their versions; ``environments`` installs them; ``scripts`` holds a standalone file for
each, which imports nothing of ours but ``scripts/progress.py``. None of them does the worker's job: a peer's row says
what a simpler job costs there, and its ``job`` says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Peer:
    """An engine: ``requirements`` are pinned, the first is the engine itself; ``job`` says in words what is timed."""

    name: str
    requirements: tuple[str, ...]
    script: str
    job: str

    @property
    def path(self) -> Path:
        """Its script."""
        return SCRIPTS / self.script


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "quix-streams",
            ("quixstreams==3.28.1",),
            "quix_counter.py",
            "parse JSON, count events by user in RocksDB with a changelog topic (its defaults)",
        ),
        Peer(
            "bytewax",
            ("bytewax==0.21.1", "confluent-kafka==2.16.1"),
            "bytewax_counter.py",
            "parse JSON, count events by user in memory; no recovery store, publishes nothing",
        ),
        Peer(
            "pathway",
            ("pathway==0.33.0",),
            "pathway_counter.py",
            "parse JSON, count events by user in its Rust engine, one thread; no persistence, publishes nothing",
        ),
        Peer(
            "vowpal-wabbit",
            ("vowpalwabbit==9.11.9", "confluent-kafka==2.16.1"),
            "vw_learner.py",
            "fetch with confluent-kafka, parse JSON, one logistic step an event; keeps and publishes nothing else",
        ),
    )
}
