"""How every Kafka client of ours (worker, trainer, tools, subscribers) is told to reach the brokers."""

from __future__ import annotations

from typing import Any

from sie_online.client.files import certificates, client_certificate, secret
from sie_online.client.folding import fold_library
from sie_online.client.tokens import token_provider
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
        context = kwargs["ssl_context"] = certificates("ssl_ca_file", kafka.ssl_ca_file)
        client_certificate(context, kafka.ssl_cert_file, kafka.ssl_key_file)
    if kafka.security_protocol.startswith("SASL"):
        kwargs |= {"sasl_mechanism": kafka.sasl_mechanism, **_credentials(kafka)}
    return kwargs


def _credentials(kafka: Kafka) -> dict[str, Any]:
    if (tokens := token_provider(kafka)) is not None:
        return {"sasl_oauth_token_provider": tokens}
    named = kafka.sasl_password_file
    password = secret("sasl_password_file", named) if named else kafka.sasl_password.get_secret_value()
    return {"sasl_plain_username": kafka.sasl_username, "sasl_plain_password": password}
