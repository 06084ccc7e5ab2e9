"""Real Apache Kafka that lets nobody in without a password (SCRAM over TLS) and nobody do what no ACL allows."""

from __future__ import annotations

import shlex
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.brokers import Broker, apache_kafka

ADMIN = "admin"
PASSWORD = "correct-horse"

PROPERTIES = """
listeners=SASL_SSL://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@
advertised.listeners=SASL_SSL://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login} required username="{admin}" password="{password}";
ssl.keystore.type=PKCS12
ssl.keystore.location={keystore}
ssl.keystore.password={password}
ssl.truststore.type=PEM
ssl.truststore.location={certificate}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:ANONYMOUS
"""
"""ANONYMOUS is the broker itself at its controller; clients are never, since their only listener asks for a login."""


@dataclass(frozen=True)
class SecureKafka:
    """A running broker, and the certificate (PEM) that it shows."""

    broker: Broker
    certificate: Path

    def login(self, user: str) -> dict[str, Any]:
        """The section ``kafka`` of the settings of ``user``."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            "ssl_ca_file": str(self.certificate),
        }


@contextmanager
def secure_kafka(folder: Path, users: Sequence[str]) -> Iterator[SecureKafka]:
    """A broker with its data in ``folder`` that knows ``users``, who may do nothing yet, and ``ADMIN``, who may all."""
    keystore, certificate = _identity(folder)
    properties = folder / "secure.properties"
    login = "org.apache.kafka.common.security.scram.ScramLoginModule"
    properties.write_text(
        PROPERTIES.format(login=login, admin=ADMIN, password=PASSWORD, keystore=keystore, certificate=certificate)
    )
    known = [f"SCRAM-SHA-512=[name={user},password={PASSWORD}]" for user in (ADMIN, *users)]
    client = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": ADMIN,
        "sasl_plain_password": PASSWORD,
        "ssl_context": ssl.create_default_context(cafile=str(certificate)),
    }
    formatting = [argument for each in known for argument in ("--add-scram", each)]
    with apache_kafka(folder, properties=properties, formatting=formatting, client=client) as broker:
        yield SecureKafka(broker, certificate)


def _identity(folder: Path) -> tuple[Path, Path]:
    """A key with a certificate for 127.0.0.1, signed by itself: as the broker's keystore, and as PEM for clients."""
    keystore, certificate = folder / "broker.p12", folder / "broker.pem"
    store = f"-keystore {shlex.quote(str(keystore))} -storepass {PASSWORD} -alias broker"
    _keytool(
        f"-genkeypair {store} -storetype PKCS12 -keyalg EC -groupname secp256r1 -dname CN=127.0.0.1 -validity 2"
        " -ext SAN=ip:127.0.0.1 -ext BC:c=ca:true -ext KU=digitalSignature,keyCertSign"
    )
    _keytool(f"-exportcert {store} -rfc -file {shlex.quote(str(certificate))}")
    return keystore, certificate


def _keytool(arguments: str) -> None:
    subprocess.run(["keytool", *shlex.split(arguments)], check=True, capture_output=True)
