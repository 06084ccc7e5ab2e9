"""What is done to workers and broker. Each fault returns when the scene has got over it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from tests.chaos.scene import PARTITIONS, START_S, TRAINER, Scene

Fault = Callable[[Scene], None]


def kill(scene: Scene) -> None:
    """SIGKILL to a busy worker."""
    victim = scene.random.choice(scene.wait_for_two_serving())
    scene.pause(0.2, 4.0)
    held, above, lag = victim.partitions(), scene.generations(), scene.lag()
    victim.process.kill()
    scene.lag_at_kill.append(lag)
    if held:
        scene.expect_served(held, above, time.monotonic(), "kill")


def suspend(scene: Scene) -> None:
    """SIGSTOP until others have taken over, then SIGCONT: it wakes up believing that nothing has happened."""
    zombie = scene.random.choice(scene.wait_for_two_serving())
    scene.pause(0.2, 2.0)
    held, above, process = zombie.partitions(), scene.generations(), zombie.process
    process.pause()
    zombie.paused = True
    if held:
        scene.expect_served(held, above, time.monotonic(), "suspension")
    scene.pause(0.5, 4.0)
    takes = process.text().count("partitions taken")
    process.resume()
    zombie.paused = False
    scene.fleet.wait(
        lambda: not process.running or process.text().count("partitions taken") > takes, "word of the zombie", START_S
    )


def join_and_leave(scene: Scene) -> None:
    """One more worker comes and, after a while, leaves in peace."""
    guest = scene.fleet.add("guest")
    scene.fleet.wait(lambda: guest in scene.fleet.serving(), "partitions for the guest", START_S)
    scene.pause(0.5, 4.0)
    above = scene.generations()
    if code := scene.fleet.remove("guest"):
        scene.problems.append(f"a worker told to stop ended with {code}")
    scene.expect_served(set(range(PARTITIONS)), above, time.monotonic(), "departure")


def kill_broker(scene: Scene) -> None:
    """SIGKILL to the broker; it comes back after a few seconds with what it had on disk."""
    scene.wait_for_two_serving()
    scene.pause(0.2, 2.0)
    scene.broker.kill()
    time.sleep(scene.random.uniform(0.5, 5.0))
    scene.broker.start()
    said = scene.rows.messages
    scene.fleet.wait(lambda: scene.rows.messages > said, "rows after the broker's return", START_S)


def kill_trainer(scene: Scene) -> None:
    """SIGKILL to the trainer; its successor goes on announcing."""
    trainer = scene.fleet.slots[TRAINER]
    starts = trainer.starts
    trainer.process.kill()
    scene.fleet.wait(
        lambda: trainer.starts > starts and " announced " in trainer.process.text(), "announcement", START_S
    )


def long_plan(rng: random.Random) -> list[Fault]:
    """At least ten kills and two of everything else, in random order."""
    plan: list[Fault] = [kill] * rng.randint(10, 13) + [suspend, join_and_leave, kill_broker, kill_trainer] * 2
    rng.shuffle(plan)
    return plan


def short_plan(rng: random.Random) -> list[Fault]:
    """Three kills and one of everything else."""
    plan: Sequence[Fault] = [kill, kill, kill, suspend, join_and_leave, kill_broker, kill_trainer]
    return rng.sample(plan, len(plan))
