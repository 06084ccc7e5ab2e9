"""What every peer's script shares: its arguments, and noting when its first and its last event was done.

Standard library only: the scripts run in interpreters that have the peer installed and nothing of this project.
"""

from __future__ import annotations

import argparse
import json
import threading
import time

QUIET_S = 3.0  # nothing more for so long, after all but the records that nobody can read
READABLE_SHARE = 0.995  # of the records; the rest may be heartbeats and malformed ones


def arguments() -> argparse.Namespace:
    """``--broker``, ``--topic``, ``--group``, ``--records`` and ``--folder``, as every script takes them."""
    parser = argparse.ArgumentParser()
    for name in ("--broker", "--topic", "--group", "--folder"):
        parser.add_argument(name, required=True)
    parser.add_argument("--records", type=int, required=True)
    return parser.parse_args()


class Progress:
    """Counts events; prints ``RESULT {…}`` once ``n_records`` are done, or once nothing readable is left."""

    def __init__(self, n_records: int) -> None:
        self._n_records = n_records
        self._done = self._before = 0
        self._first_s = self._last_s = 0.0
        self._told = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def add(self, n: int = 1) -> None:
        """``n`` more events are done. Those of the first call do not count: what led to them was not timed."""
        now = time.time()  # not the monotonic clock: it is matched with others' processor times
        if not self._before:
            self._before, self._first_s = n, now
        self._done += n
        self._last_s = now

    def total(self, n: int) -> None:
        """``n`` events are done in all."""
        if n > self._done:
            self.add(n - self._done)

    def _watch(self) -> None:
        while not self._is_over():
            time.sleep(0.2)
        times = {"first_ms": self._first_s * 1000, "last_ms": self._last_s * 1000}
        print("RESULT", json.dumps({"records": self._done - self._before, **times}), flush=True)

    def _is_over(self) -> bool:
        quiet = time.time() - self._last_s > QUIET_S
        return self._done >= self._n_records or (quiet and self._done >= READABLE_SHARE * self._n_records)
