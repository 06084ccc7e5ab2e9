"""Which samples of a mixture mislead who learns from them."""

from __future__ import annotations

import numpy as np

from sie_online.behaviours import Log, Mixture, Roles
from sie_online.behaviours.log import Bools


def misleading(mixture: Mixture, base: Log, roles: Roles, window_ms: int) -> Bools:
    """Whether an event of ``mixture`` is pollution, or has another label than it would have without pollution, (n,).

    ``base`` is the log that was mixed into: what pollution moved, it did not touch there.
    """
    polluting, log = mixture.polluting(), mixture.log
    back = polluting & (mixture.source >= 0)
    user, time_ms = log.user.copy(), log.time_ms.copy()
    user[back], time_ms[back] = base.user[mixture.source[back]], base.time_ms[mixture.source[back]]
    genuine = np.flatnonzero(~polluting | back)
    without = np.zeros(len(polluting), np.bool_)
    without[genuine] = converted(log._replace(user=user, time_ms=time_ms).take(genuine), roles, window_ms)
    wrong: Bools = polluting | (converted(log, roles, window_ms) != without)
    return wrong


def converted(log: Log, roles: Roles, window_ms: int) -> Bools:
    """Whether the same user converts on the same item within ``window_ms`` from each event on, (n,).

    Returns and corrections are left out. The events may be in any order.
    """
    items = int(log.item.max(initial=0)) + 1
    _, pair = np.unique(log.user * items + log.item, return_inverse=True)
    span = int(np.ptp(log.time_ms)) + window_ms + 1 if len(pair) else 1
    at = pair * span + (log.time_ms - log.time_ms.min(initial=np.iinfo(np.int64).max))
    deeds = np.sort(at[np.isin(log.etype, list(roles.conversions))])
    following = np.append(deeds, np.iinfo(np.int64).max)[np.searchsorted(deeds, at)]
    within: Bools = following - at <= window_ms
    return within
