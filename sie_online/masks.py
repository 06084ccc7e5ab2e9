"""Sets of event types, as the kernels take them: a bit per code.

Which types are samples and which are conversions is a setting (``labels``); every kernel that cares is given both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sie_online.contracts import CONVERSION_TYPES, SAMPLE_TYPES, TYPE_CODES
from sie_online.jit import kernel


def mask_of(names: Iterable[str]) -> int:
    """The mask of the event types with these names.

    >>> mask_of(["impression", "click"])
    5
    """
    return sum(1 << TYPE_CODES[name] for name in set(names))


SAMPLES = mask_of(SAMPLE_TYPES)
CONVERSIONS = mask_of(CONVERSION_TYPES)
"""What is a sample and what a conversion unless the settings say otherwise."""


@kernel
def has(mask: int, etype: int) -> Any:
    """Whether the event type with code ``etype`` is in ``mask``."""
    return (mask >> np.int64(etype)) & 1 == 1
