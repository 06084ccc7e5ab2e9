"""Which processor kernels are compiled for: a level of its architecture, not this very model.

What was compiled on one machine can then be loaded on the next, shipped in a wheel or an image. Rows are the same for
any: there is no fused multiply-add where the source has none, and no library's ``exp``. It costs little, since the
event loop is scalar arithmetic and memory: x86-64-v3 is 2 to 4 % slower than the machine's own model (Zen 5), plain
x86-64 some 6 %.
"""

# mypy: disallow-untyped-calls=False
# Numba has no types of its own.

from __future__ import annotations

from typing import Any

import numba
from llvmlite import binding

V3 = (
    *("cmov", "cx16", "sahf", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2"),
    *("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"),
)
"""What LLVM calls the features of level x86-64-v3: processors since 2013 (Haswell) and 2015 (Excavator)."""


def settle_processor() -> None:
    """Tell numba which processor to compile for, unless ``NUMBA_CPU_NAME`` or ``NUMBA_CPU_FEATURES`` has.

    Numba reads it when its first function is made: where another package was first, kernels are compiled for what that
    one found, and kept apart.
    """
    config: Any = numba.config
    if config.CPU_NAME is None and config.CPU_FEATURES is None:
        has = binding.get_host_cpu_features() if config.ENABLE_AVX else {}
        config.CPU_NAME = "x86-64-v3" if all(has.get(feature) for feature in V3) else "generic"
        config.CPU_FEATURES = ""
