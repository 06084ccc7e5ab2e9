"""Bearer tokens (RFC 6750) in a file: who may ask. Read again when the file changes, so that they can be rotated."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import stat
from pathlib import Path

from sie_online.errors import SettingsError
from sie_online.settings import Settings

log = logging.getLogger(__name__)

LEAST_CHARACTERS = 32
"""As many as 24 random bytes take in base64: nobody guesses that."""
MOST_BYTES = 65_536
TOKEN = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")
"""``b64token`` of RFC 6750."""
SCHEME = "bearer "
SETTING = "api.token_file"
HOW = "write one as in: umask 077; head -c 32 /dev/urandom | base64 > FILE"


class Tokens:
    """Those in ``file``, one a line; empty lines and those that begin with # are none.

    Raises:
        SettingsError: the file is not fit to be used.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = _version(file)
        self._digests = _read(file)

    def admit(self, authorization: str) -> bool:
        """Whether a request with this header may ask. While the file is not fit to be used, nobody may.

        Which of the tokens it is, and how much of one is right, cannot be told from the time it takes.
        """
        self._renew()
        given = _digest(authorization[len(SCHEME) :].strip().encode("utf-8", "surrogateescape"))
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return authorization[: len(SCHEME)].lower() == SCHEME and any(matches)

    def _renew(self) -> None:
        if (version := _version(self._file)) == self._seen:
            return
        self._seen = version
        try:
            self._digests = _read(self._file)
            log.info("tokens read again", extra={"tokens": len(self._digests)})
        except SettingsError as error:
            self._digests = []
            log.error("nobody is let in: %s", error)  # noqa: TRY400 - the sentence says all there is


def check_tokens(settings: Settings) -> None:
    """Refuse a file of tokens that is missing, empty, readable by everybody, or whose tokens can be guessed.

    Raises:
        SettingsError: it is.
    """
    if settings.api.token_file is not None:
        _read(settings.api.token_file)


def _version(file: Path) -> tuple[int, ...]:
    """Changes when the file does, or is replaced, as by Kubernetes through a link."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_dev, found.st_mtime_ns, found.st_size, found.st_mode


def _read(file: Path) -> list[bytes]:
    """Digests of the tokens: of one length, whatever theirs is."""
    try:
        mode = file.stat().st_mode
        with file.open("rb") as opened:
            text = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{SETTING}: cannot read {file}: {error.strerror}; {HOW}") from None
    if mode & stat.S_IROTH:
        raise SettingsError(f"{SETTING}: everybody on this machine can read {file}: run chmod o-r {file}")
    if len(text) > MOST_BYTES:
        raise SettingsError(f"{SETTING}: {file} has more than {MOST_BYTES} bytes: is it a file of tokens?")
    lines = [line.strip() for line in text.splitlines()]
    tokens = [line for line in lines if line and not line.startswith(b"#")]
    if not tokens:
        raise SettingsError(f"{SETTING}: {file} holds no token; {HOW}")
    for number, token in enumerate(tokens, 1):
        if len(token) < LEAST_CHARACTERS:
            found = f"token {number} in {file} has {len(token)} characters"
            raise SettingsError(f"{SETTING}: {found}; at least {LEAST_CHARACTERS} are needed; {HOW}")
        if not TOKEN.fullmatch(token):
            raise SettingsError(f"{SETTING}: token {number} in {file} cannot be sent in a header; {HOW}")
    return [_digest(token) for token in tokens]


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
