"""Every setting there is, defined once: environment (``SIE_…``, ``__`` between levels), TOML file and command line.

Precedence, highest first: values given in code or by ``--set``, environment, the TOML file named by ``SIE_CONFIG``, the
sections' defaults. What a value does is said at the field, and done elsewhere.

- ``rows``: the sections whose values change published rows (``ROW_SECTIONS``); their digest is the *fingerprint* that a
  checkpoint carries, so that a worker never continues a state that other settings made
- ``operation``: how a worker runs; ``training``: how the importance net is trained
- ``recommendation``: lists of items for users
- ``deployment``: ``Settings``, all together, and ``load``
- ``environment``: typing errors in the environment; ``section``: what every section has in common
"""

from sie_online.settings.deployment import KNOWN_ELSEWHERE, ROW_SECTIONS, Settings, load
from sie_online.settings.operation import Checkpoint, Kafka, Topics, Watchdog, Web
from sie_online.settings.recommendation import Recommend
from sie_online.settings.rows import (
    Dedupe,
    Entities,
    Events,
    Guard,
    Importance,
    Labels,
    Limits,
    Privacy,
    Recommender,
)
from sie_online.settings.training import FineTuning, Models, NetGate, NetShape, Trainer, TrainerWeb

__all__ = [
    "KNOWN_ELSEWHERE",
    "ROW_SECTIONS",
    "Checkpoint",
    "Dedupe",
    "Entities",
    "Events",
    "FineTuning",
    "Guard",
    "Importance",
    "Kafka",
    "Labels",
    "Limits",
    "Models",
    "NetGate",
    "NetShape",
    "Privacy",
    "Recommend",
    "Recommender",
    "Settings",
    "Topics",
    "Trainer",
    "TrainerWeb",
    "Watchdog",
    "Web",
    "load",
]
