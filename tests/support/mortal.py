"""A process that dies at the n-th change it asks a bucket for."""

from __future__ import annotations

import os
import signal
from queue import SimpleQueue

from tests.support.buckets import LOST_REQUEST, NONE, Asked, Fault

CHANGES = ("PUT", "CREATE", "DELETE", "POST")


class KilledAt:
    """Kills the child when it asks for its ``n``-th change, which never arrives."""

    def __init__(self, n: int) -> None:
        self.pid: SimpleQueue[int] = SimpleQueue()
        self.left = n
        self.last: Asked | None = None

    def __call__(self, asked: Asked) -> Fault:
        if asked.kind in CHANGES:
            self.left -= 1
        if self.left > 0:
            return NONE
        self.last = self.last or asked
        if asked is self.last:
            os.kill(self.pid.get(), signal.SIGKILL)
        return LOST_REQUEST
