"""How every Kafka client of ours (worker, trainer, tools, subscribers) is told to reach the brokers."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from sie_online.client.folding import fold_library
from sie_online.errors import SettingsError
from sie_online.settings import Kafka, Settings, load


def settings_at(settings: Settings | None, broker: str | None) -> Settings:
    """What a client was given: ``settings`` (None: environment and file), at ``broker`` where that is named.

    Raises:
        SettingsError: environment or file are refused.
    """
    settings = settings or load()
    return settings if broker is None else settings.model_copy(update={"broker": broker})


def connection(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client takes: ``AIOKafkaConsumer(topic, **connection(settings))``.

    Holds ``bootstrap_servers`` and ``security_protocol``; with TLS also ``ssl_context``, with SASL also ``sasl_*``.
    Timeouts are not here: consumer, producer and admin client name them differently. Contains the password: never
    log it. From the first call on, aiokafka repeats itself in the log once a minute at most.

    Raises:
        SettingsError: a file cannot be read or is no PEM; the message names the setting.
    """
    fold_library("aiokafka")
    kafka = settings.kafka
    kwargs: dict[str, Any] = {
        "bootstrap_servers": [address.strip() for address in settings.broker.split(",")],
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.endswith("SSL"):
        kwargs["ssl_context"] = _ssl_context(kafka)
    if kafka.security_protocol.startswith("SASL"):
        kwargs["sasl_mechanism"] = kafka.sasl_mechanism
        kwargs["sasl_plain_username"] = kafka.sasl_username
        kwargs["sasl_plain_password"] = _password(kafka)
    return kwargs


def _password(kafka: Kafka) -> str:
    if kafka.sasl_password_file is None:
        return kafka.sasl_password.get_secret_value()
    try:
        text = kafka.sasl_password_file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        path = kafka.sasl_password_file
        raise SettingsError(f"kafka.sasl_password_file: cannot read {path}: {_cause(error)}") from None
    return text.rstrip("\r\n")  # editors end a file with a newline; it is no part of the password


def _ssl_context(kafka: Kafka) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if kafka.ssl_ca_file is not None:
        context = ssl.create_default_context(cadata=_pem("ssl_ca_file", kafka.ssl_ca_file))
    if kafka.ssl_key_file is not None and kafka.ssl_cert_file is None:
        raise SettingsError("kafka.ssl_key_file: is set without kafka.ssl_cert_file: set both or neither")
    if kafka.ssl_cert_file is not None:
        _load_client_certificate(context, kafka.ssl_cert_file, kafka.ssl_key_file)
    return context


def _pem(name: str, path: Path) -> str:
    try:
        text = path.read_text("ascii")
        ssl.create_default_context(cadata=text)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; UnicodeDecodeError a ValueError
        raise SettingsError(f"kafka.{name}: cannot read certificates from {path}: {_cause(error)}") from None
    return text


def _load_client_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    for name, path in (("ssl_cert_file", certificate), ("ssl_key_file", key)):
        if path is not None and not path.is_file():
            raise SettingsError(f"kafka.{name}: {path} is no file")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise SettingsError(f"kafka.ssl_cert_file: {certificate} and its key do not load: {_cause(error)}") from None


def _no_password() -> str:
    """Stands in for OpenSSL's prompt, which would wait on a terminal for ever."""
    raise ValueError("the private key is encrypted; write it unencrypted, readable by this user only")


def _cause(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
