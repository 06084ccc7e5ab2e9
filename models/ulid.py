"""Version names: ULIDs, which sort by time of creation."""

from __future__ import annotations

import re

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BYTES = 10
_PATTERN = re.compile(f"[0-7][{_ALPHABET}]{{25}}")


def ulid(time_ms: int, randomness: bytes) -> str:
    """A ULID of 48 bits of ``time_ms`` (ms since 1970) and ten bytes of ``randomness``.

    >>> ulid(0, bytes(10))
    '00000000000000000000000000'
    """
    if not 0 <= time_ms < 1 << 48 or len(randomness) != _RANDOM_BYTES:
        raise ValueError("a ULID takes a time in [0, 2**48) ms and ten random bytes")
    number = time_ms << 8 * _RANDOM_BYTES | int.from_bytes(randomness, "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_ulid(text: str) -> bool:
    """Whether ``text`` is a ULID in its canonical form."""
    return _PATTERN.fullmatch(text) is not None
