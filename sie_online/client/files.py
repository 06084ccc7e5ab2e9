"""Files that settings name: passwords, certificates and keys. What cannot be read is said with the setting's name."""

from __future__ import annotations

import ssl
from pathlib import Path

from sie_online.errors import SettingsError


def secret(name: str, path: Path | None) -> str:
    """The password or secret in the file of setting ``kafka.<name>``.

    Raises:
        SettingsError: it cannot be read, or the setting is unset.
    """
    if path is None:
        raise SettingsError(f"kafka.{name}: is not set")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"kafka.{name}: cannot read {path}: {cause(error)}") from None
    return text.rstrip("\r\n")  # editors end a file with a newline; it is no part of the secret


def certificates(name: str, path: Path | None) -> ssl.SSLContext:
    """A context that trusts what is in the file of ``kafka.<name>``; the system's certificates where it is unset.

    Raises:
        SettingsError: the file cannot be read or is no PEM.
    """
    if path is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=path.read_text("ascii"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; UnicodeDecodeError a ValueError
        raise SettingsError(f"kafka.{name}: cannot read certificates from {path}: {cause(error)}") from None


def client_certificate(context: ssl.SSLContext, certificate: Path | None, key: Path | None) -> None:
    """Have ``context`` show the certificate of ``kafka.ssl_cert_file``, if one is set.

    Raises:
        SettingsError: certificate and key do not load.
    """
    if certificate is None:
        if key is not None:
            raise SettingsError("kafka.ssl_key_file: is set without kafka.ssl_cert_file: set both or neither")
        return
    for name, path in (("ssl_cert_file", certificate), ("ssl_key_file", key)):
        if path is not None and not path.is_file():
            raise SettingsError(f"kafka.{name}: {path} is no file")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise SettingsError(f"kafka.ssl_cert_file: {certificate} and its key do not load: {cause(error)}") from None


def _no_password() -> str:
    """Stands in for OpenSSL's prompt, which would wait on a terminal for ever."""
    raise ValueError("the private key is encrypted; write it unencrypted, readable by this user only")


def cause(error: Exception) -> str:
    """``error`` in a few words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
