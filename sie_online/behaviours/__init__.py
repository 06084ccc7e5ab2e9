"""Random behaviours, polluting and innocent, mixed into any log: what a noise model learns from and is judged by.

Nobody knows what will pollute a shop. So behaviours are drawn: each family settles a little of who acts, when, on what
and to what end, and leaves the rest to chance. Innocents are as odd and genuine: a detector must leave them alone.

- ``mixing``: ``mix``, which draws behaviours and puts them into a log; ``draft``: what one of them does to it
- ``polluters``: families that are a ``programme`` of accounts; ``faults``: those that sit upon what really happened
- ``innocents``: odd and genuine; ``lives``: those that add nothing; ``shopping``: how people shop
- ``timing``: when; ``sources``: what; ``chance``: draws that numpy lacks
- ``log``: a log as dense codes, and a mixture; ``shop``: a log, indexed; ``columns``: from and to decoded events

Deterministic by seed, numpy alone.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> item = rng.integers(0, 50, 900)
>>> time_ms = 1_700_000_000_000 + np.sort(rng.integers(0, 604_800, 900)) * 1_000
>>> log = Log(rng.integers(0, 40, 900), item, item % 5, rng.choice([1, 1, 1, 5], 900), time_ms)
>>> mixture = mix(log, Roles(frozenset({0, 1, 2}), frozenset({5})), seed=7)
>>> bool((mixture.log.time_ms % 1_000 == 0).all()), int((mixture.source >= 0).sum())
(True, 900)
"""

from sie_online.behaviours.columns import Decoded, columns_of, log_of, roles_of
from sie_online.behaviours.log import NO_CATEGORY, Behaviour, Log, Mixture, Roles
from sie_online.behaviours.mixing import ALL, INNOCENT, POLLUTING, mix

__all__ = [
    "ALL",
    "INNOCENT",
    "NO_CATEGORY",
    "POLLUTING",
    "Behaviour",
    "Decoded",
    "Log",
    "Mixture",
    "Roles",
    "columns_of",
    "log_of",
    "mix",
    "roles_of",
]
