"""Keyed hashes in the place of user ids, and of whatever else could tell one, where the operator has set a key.

Without the key nobody can tell whose they are, not even by trying every id there is; with it the owner can, which is
how an id is found again (``sie explain``, ``sie erase``).
"""

from __future__ import annotations

import hashlib
import hmac

from sie_online.errors import SettingsError
from sie_online.settings import Settings

KEY_BYTES = 32
"""Shortest key: as long as the digest."""

HEX_BYTES = 64
"""Length of a pseudonym."""


class Pseudonyms:
    """Published ids of users under one key: HMAC-SHA-256 (RFC 2104) in hexadecimal."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, text: bytes) -> bytes:
        """The pseudonym of an id, or the digest of anything else that might contain one."""
        return hmac.new(self._key, text, hashlib.sha256).hexdigest().encode()


def longest_id(settings: Settings) -> int:
    """Bytes of the longest id that is published: as it came, or hidden."""
    return max(settings.limits.id_bytes, HEX_BYTES)


def pseudonyms(settings: Settings) -> Pseudonyms | None:
    """Those of this deployment; None if ids are published as they came.

    Raises:
        SettingsError: the key cannot be read or is too short.
    """
    file = settings.privacy.hmac_key_file
    if file is None:
        return None
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"privacy.hmac_key_file: cannot read {file}: {error.strerror}") from None
    if len(key) < KEY_BYTES:
        raise SettingsError(f"privacy.hmac_key_file: {file} holds {len(key)} bytes; at least {KEY_BYTES} are needed")
    return Pseudonyms(key)
