"""Where checkpoints and models lie during a run."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.buckets import (
    LOST_ANSWER,
    LOST_REQUEST,
    NONE,
    Asked,
    Fault,
    Faults,
    network_to,
    refused,
    s3_server,
    slow,
)

Place = Callable[[Path, int], AbstractContextManager[str]]

BAD_DAYS: tuple[tuple[float, Fault], ...] = (
    (0.01, LOST_ANSWER),
    (0.01, LOST_REQUEST),
    (0.01, refused(503, "SlowDown")),
    (0.05, slow(0.3)),
)
"""How often each of these befalls a request to the bucket."""


@contextmanager
def folder(folder: Path, _seed: int) -> Iterator[str]:
    """A folder on this machine's disk."""
    yield (folder / "store").as_uri()


@contextmanager
def bucket(folder: Path, seed: int) -> Iterator[str]:
    """A bucket, whose network has ``BAD_DAYS``; this process and its children find it."""
    with s3_server(folder / "moto.log") as port, network_to(port) as network:
        os.environ.update(network.environment())
        url = network.make_bucket("chaos")
        network.faults = at_random(random.Random(seed))
        yield f"{url}/sie"
        print(f"requests to the bucket: {network.counts()}", flush=True)


def at_random(rng: random.Random) -> Faults:
    """Each fault as often as ``BAD_DAYS`` says."""
    lock = threading.Lock()

    def befall(_: Asked) -> Fault:
        with lock:
            dice = rng.random()
        for share, fault in BAD_DAYS:
            dice -= share
            if dice < 0:
                return fault
        return NONE

    return befall


PLACES: Mapping[str, Place] = {"file": folder, "s3": bucket}
"""By the name of ``--store``."""
