"""``sie kernels``: compiled ahead of the first start."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sie_online import jit
from sie_online.errors import UsageError
from sie_online.settings import Api, Recommend, Settings
from streams.cli.common import Json, out, print_json
from streams.cli.progress import compiling
from streams.worker.startup import compile_kernels


def command(
    copy_to: Annotated[
        Path | None,
        typer.Option("--copy-to", metavar="DIR", help="Copy them, and no others, into a folder below DIR."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile a worker's kernels ahead of its first start, for images and wheels.

    A worker does so by itself when it first starts, which takes half a minute of one core. What is compiled lies in
    SIE_CACHE_DIR. It fits every processor of the same level (x86-64-v3, where this one is), so it can be part of an
    image: a worker that finds all it needs there needs no folder that can be written. It fits no other version of
    this package, Python or numba: those compile anew.

    [bold]Examples[/bold]
      SIE_CACHE_DIR=/opt/sie sie kernels    while an image is built, in which SIE_CACHE_DIR is /opt/sie
      sie kernels --copy-to build/kernels    for a wheel: see make wheel
    """
    started = time.process_time()
    everything = Settings(recommend=Recommend(enabled=True), api=Api(token_file=Path("tokens")))
    with compiling():
        compile_kernels(lambda stage: None, everything)
    seconds = round(time.process_time() - started, 1)
    folder = jit.folders.kept if copy_to is None else _copy(copy_to)
    kernels = sorted(jit.folders.used)
    if as_json:
        print_json({"kernels": kernels, "folder": str(folder), "seconds": seconds})
    else:
        out.print(f"{len(kernels)} kernels in {seconds} s of one core: {folder}", highlight=False, soft_wrap=True)


def _copy(to: Path) -> Path:
    try:
        return jit.folders.copy(to)
    except OSError as error:
        raise UsageError(f"--copy-to: {to} cannot be written ({error.strerror})") from None
