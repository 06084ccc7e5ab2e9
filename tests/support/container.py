"""A container without Docker: a mount namespace in which the root is read-only, but for an image's volumes.

The image is made below ``/opt`` and run as its user. Nothing of it is seen outside, and it is gone with the process
that holds the namespace. Network and process ids are the machine's. Needs root.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

USER = 10001
PYTHON = "/opt/python/bin/python3"
"""The interpreter inside."""
BASE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "LD_LIBRARY_PATH": "/opt/python/lib"}
"""The environment of a base image; no home."""

HOLD = """set -e
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir /opt/python
mount --bind "$1" /opt/python
echo made
exec sleep infinity"""

SEAL = """set -e
mount -t tmpfs -o mode=755 tmpfs /var
mount -t tmpfs tmpfs /tmp
mkdir -p "$@"
for volume; do mount -t tmpfs -o "uid=$USER_ID,gid=$USER_ID,mode=700" tmpfs "$volume"; done
for folder in /var /tmp /dev/shm /opt /; do mount -o remount,ro,bind "$folder"; done"""


class Container:
    """Runs commands inside."""

    def __init__(self, holder: int) -> None:
        self._enter = ("nsenter", f"--target={holder}", "--mount")

    def run(self, command: Sequence[str], folder: str | Path = "/", environment: Mapping[str, str] = os.environ) -> str:
        """Run a command as root in ``folder``, to its end; what it says on stdout. Fails where it does."""
        inside = [*self._enter, "env", f"--chdir={folder}", *command]
        done = subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=dict(environment))
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def seal(self, volumes: Sequence[str]) -> None:
        """From now on nothing can be written but in ``volumes``, which lie below ``/var``."""
        self.run(["sh", "-c", SEAL, "sh", *volumes], environment=os.environ | {"USER_ID": str(USER)})

    def as_user(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """What runs ``command`` inside as the image's user, without rights and with ``environment`` alone."""
        drop = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
        given = [f"{name}={value}" for name, value in environment.items()]
        return [*self._enter, *drop, "env", "--ignore-environment", *given, *command]


@contextmanager
def container() -> Iterator[Container]:
    """An empty one; its processes have to end before it does."""
    command = ["unshare", "--mount", "sh", "-c", HOLD, "sh", sys.base_prefix]
    holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "made\n", "mount namespaces are refused here"
        yield Container(holder.pid)
    finally:
        holder.kill()
        holder.communicate()
