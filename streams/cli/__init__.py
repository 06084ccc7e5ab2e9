"""The ``sie`` command. ``main`` is its entry point; ``root`` the root, every command a module of its own.

This file imports nothing that a subscriber's install (``pip install sie-online``) lacks, so that ``sie`` can say there
which extra is missing; and what a command needs is imported when it runs, so that ``sie --help`` is quick.

- processes: ``worker``, ``trainer``, ``heartbeat``, ``demo``, and ahead of them ``kernels``
- topics: ``topics``, ``tail``, ``replay``
- without a broker: ``evaluate``, ``fit_noise``, ``sample_events``, ``config``; models: ``model``
- published rows: ``explain``, ``audit``; people: ``erase``
- how it is said: ``common``, ``reading`` (shared options), ``progress``, ``findings``, ``views``, ``text``,
  ``evaluate_text``, ``examination``, ``examination_text``, ``given_models``,
  ``explain_text``, ``explain_noise``, ``noise_text``; ``terminal``: where all of it is printed
"""

from __future__ import annotations

import importlib.util
import sys

__all__ = ["main"]


def main() -> None:
    """Run ``sie`` with this process's arguments and exit with its code (``sie_online.errors`` lists them)."""
    if importlib.util.find_spec("typer") is None or importlib.util.find_spec("rich") is None:
        sys.stderr.write("sie: the command needs the extra 'worker': pip install 'sie-online[worker]'\n")
        sys.exit(2)
    from streams.cli.root import run

    sys.exit(run(sys.argv[1:]))
