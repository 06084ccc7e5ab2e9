"""Factor `delay`: what an unripe negative is worth when its conversion may still come.

Fake-negative weighting (Ktena et al., RecSys'19, eq. 5): a subscriber learns every sample at once as a negative and
again as a positive when the conversion arrives; weights (1 + p) for positives and (1 - p)(1 + p) for negatives make
the expected gradient that of the true labels. At maturity the truth replaces the correction, and the factor is 0.
"""

from __future__ import annotations

import math

from sie_online.jit import kernel


@kernel
def provisional(p: float) -> float:
    """Log weight of a sample whose window is open; ``p`` = P(conversion), below 1."""
    return math.log1p(-p) + math.log1p(p)


@kernel
def converted(p: float) -> float:
    """Log weight of the positive that a conversion creates."""
    return math.log1p(p)
