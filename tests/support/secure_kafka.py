"""Real Apache Kafka that lets nobody in without a login and nobody do what no ACL allows. Three ways in, all by TLS:
a password (SCRAM), a token (OAUTHBEARER), a client certificate.
"""

from __future__ import annotations

import shlex
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.brokers import Broker, apache_kafka, free_ports
from tests.support.tokens import AUDIENCE, ISSUER, Issuer, new_issuer

ADMIN = "admin"
PASSWORD = "correct-horse"
SESSION_MS = 5_000
"""Connections by token are ended when they are older, or their token is."""

PROPERTIES = """
listeners={listeners}
advertised.listeners={listeners}
listener.security.protocol.map=SASL_SSL:SASL_SSL,TOKEN:SASL_SSL,MTLS:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required username="{admin}" password="{password}";
listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.token.oauthbearer.sasl.jaas.config={bearer}LoginModule required;
listener.name.token.oauthbearer.sasl.server.callback.handler.class={bearer}ValidatorCallbackHandler
listener.name.token.oauthbearer.connections.max.reauth.ms={session_ms}
sasl.oauthbearer.jwks.endpoint.url={keys}
sasl.oauthbearer.expected.issuer={issuer}
sasl.oauthbearer.expected.audience={audience}
listener.name.mtls.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
ssl.keystore.type=PKCS12
ssl.keystore.location={keystore}
ssl.keystore.password={password}
ssl.truststore.type=PEM
ssl.truststore.location={certificate}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:ANONYMOUS
"""
"""ANONYMOUS is the broker itself at its controller; clients are never, since all their listeners ask for a login."""


@dataclass(frozen=True)
class SecureKafka:
    """A running broker, which also listens at ``token_address`` and ``tls_address``; the certificate (PEM) that it
    shows, which has signed the clients', too; and the issuer of the tokens that it takes.
    """

    broker: Broker
    certificate: Path
    token_address: str
    tls_address: str
    issuer: Issuer

    def login(self, user: str) -> dict[str, Any]:
        """The section ``kafka`` of the settings of ``user``."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            "ssl_ca_file": str(self.certificate),
        }

    def by_token(self, **oauth: Any) -> dict[str, Any]:
        """The same by a token, to be had as ``oauth`` say."""
        kafka = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "ssl_ca_file": str(self.certificate)}
        return {"broker": self.token_address, "kafka": kafka | oauth}

    def by_certificate(self, user: str) -> dict[str, Any]:
        """The same by a client certificate of ``user``."""
        certificate, key = _signed(self.certificate.parent, user)
        kafka = {"security_protocol": "SSL", "ssl_ca_file": str(self.certificate)}
        return {
            "broker": self.tls_address,
            "kafka": kafka | {"ssl_cert_file": str(certificate), "ssl_key_file": str(key)},
        }


@contextmanager
def secure_kafka(folder: Path, users: Sequence[str]) -> Iterator[SecureKafka]:
    """A broker with its data in ``folder`` that knows ``users``, who may do nothing yet, and ``ADMIN``, who may all."""
    keystore, certificate = _identity(folder)
    issuer = new_issuer(folder / "issuer")
    token_port, tls_port = free_ports(2)
    ports = {"SASL_SSL": "@PORT@", "TOKEN": token_port, "MTLS": tls_port, "CONTROLLER": "@CONTROLLER_PORT@"}
    properties = folder / "secure.properties"
    properties.write_text(
        PROPERTIES.format(
            scram="org.apache.kafka.common.security.scram.ScramLoginModule",
            bearer="org.apache.kafka.common.security.oauthbearer.OAuthBearer",
            admin=ADMIN,
            password=PASSWORD,
            keystore=keystore,
            certificate=certificate,
            listeners=",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items()),
            session_ms=SESSION_MS,
            keys=issuer.keys.as_uri(),
            issuer=ISSUER,
            audience=AUDIENCE,
        )
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
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={issuer.keys.as_uri()}"
    with apache_kafka(folder, properties=properties, formatting=formatting, java=allowed, client=client) as broker:
        yield SecureKafka(broker, certificate, f"127.0.0.1:{token_port}", f"127.0.0.1:{tls_port}", issuer)


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


def _signed(folder: Path, user: str) -> tuple[Path, Path]:
    """A certificate for ``user`` that the broker's key has signed, and its key."""
    certificate, key, request, signer = (folder / f"{user}.{kind}" for kind in ("pem", "key", "csr", "ca.key"))
    openssl = ["openssl", "pkcs12", "-in", str(folder / "broker.p12"), "-passin", f"pass:{PASSWORD}", "-nodes"]
    _run([*openssl, "-nocerts", "-out", str(signer)])
    subject = ["-subj", f"/CN={user}", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    _run(["openssl", "req", "-new", "-keyout", str(key), "-out", str(request), *subject])
    signing = ["-CA", str(folder / "broker.pem"), "-CAkey", str(signer), "-CAcreateserial", "-days", "2"]
    _run(["openssl", "x509", "-req", "-in", str(request), "-out", str(certificate), *signing])
    return certificate, key


def _keytool(arguments: str) -> None:
    _run(["keytool", *shlex.split(arguments)])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
