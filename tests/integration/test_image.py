"""The worker's image, made by its own script and run as its Dockerfile says: as nobody, on a read-only root."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate
from tests.support import topic_io
from tests.support.brokers import Broker, free_ports
from tests.support.container import BASE, PYTHON, container
from tests.support.dockerfile import Dockerfile, copy_context
from tests.support.environment import as_environment
from tests.support.requirements import end
from tests.support.workers import wait_until_read, worker_pool

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


def test_a_worker_of_the_image_weighs_as_nobody_on_a_read_only_root_and_compiles_nothing(
    settings: Callable[..., Settings], broker: Broker, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        end("a container needs root")
    image = Dockerfile("worker")
    copy_context(tmp_path / "context")
    port = free_ports()[0]
    made = settings(
        broker=broker.address, store="file:///var/lib/sie", web={"port": port}, checkpoint={"interval_s": 1}
    )
    topic_io.make_topics(made)
    environment = image.environment(BASE) | {
        name: value for name, value in as_environment(made).items() if name.startswith("SIE_") and "CACHE" not in name
    }
    with container() as box:
        tools = {"PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}", "PYTHON": PYTHON}
        install = ["deploy/docker/install.sh", "worker", "/opt/sie"]  # with the kernels that are compiled here already
        box.run(install, tmp_path / "context", os.environ | tools)
        box.run(["cp", "deploy/docker/healthcheck.py", "/opt/sie"], tmp_path / "context")
        box.seal(image.volumes())

        absent = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)"
        box.run(box.as_user(["python", "-c", absent], environment))
        with worker_pool(made, tmp_path, box.as_user(image.command(), environment)) as start:
            worker = start()
            worker.wait_ready()
            topic_io.write(made, simulate(Scenario(events=1_000)).records())
            wait_until_read(made, worker)
            box.run(box.as_user(["python", "/opt/sie/healthcheck.py", str(port)], environment))
            assert worker.stop() == 0
        written = box.run(["find", *image.volumes(), "-type", "f"]).split()
    assert any(name.startswith("/var/lib/sie/checkpoints/") for name in written)
    assert not [name for name in written if name.startswith("/var/cache/sie")], "its kernels are part of the image"
