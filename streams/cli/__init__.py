"""The ``sie`` command. ``main`` is its entry point; ``root`` the root, every command a module of its own.

This file imports nothing that a subscriber's install (no extra) lacks, so that ``sie`` can say there what is missing;
and what a command needs is imported when it runs, so that ``sie --help`` is quick.

- processes: ``worker``, ``trainer``, ``heartbeat``, ``demo``, and ahead of them ``kernels``
- topics: ``topics``, ``tail``, ``sink``, ``replay``
- without a broker: ``evaluate``, ``fit_noise``, ``sample_events``, ``config``; models: ``model``
- published rows: ``explain``, ``audit``; people: ``erase``
- how it is asked: ``common``, ``options`` (in groups), ``reading`` (of files), ``evaluate_models``, ``given_models``
- how it is said: ``progress``, ``findings``, ``views``, ``text``, ``evaluate_text``, ``examination``,
  ``examination_text``, ``explain_text``, ``explain_noise``, ``model_text``, ``noise_text``, ``sizing_text``;
  ``terminal``: where all of it is printed
"""

from __future__ import annotations

import sys

from sie_online.errors import UsageError
from streams import extras

__all__ = ["main"]

WITHOUT_IT = "  This install is a subscriber's: weights are read in Python (from sie_online import WeightSubscriber)."


def main() -> None:
    """Run ``sie`` with this process's arguments and exit with its code (``sie_online.errors`` lists them)."""
    try:
        extras.require("the command", ("typer", "rich"), "worker")
    except UsageError as lacking:
        sys.stderr.write(f"sie: {lacking}\n{WITHOUT_IT}\n")
        sys.exit(lacking.exit_code)
    from streams.cli.root import run

    sys.exit(run(sys.argv[1:]))
