"""Connections: what the settings say is what every client gets, and a missing file is said so."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sie_online.client.connection import connection
from sie_online.errors import SettingsError
from tests.support.requirements import need

SettingsFactory = Callable[..., Any]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    need("openssl", install="apt-get install --no-install-recommends openssl")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    subject = ["-subj", "/CN=localhost", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        ["openssl", "req", "-x509", "-keyout", str(key), "-out", str(certificate), *subject],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_plaintext_needs_only_addresses(settings: SettingsFactory) -> None:
    assert connection(settings(broker="a:1, b:2")) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
    }


def test_sasl_takes_the_password_from_a_file_without_its_newline(settings: SettingsFactory, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" sécret \n")
    kafka = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_username": "reader",
        "sasl_password_file": tmp_path / "password",
    }
    made = connection(settings(kafka=kafka))
    assert made["sasl_plain_password"] == " sécret "
    assert made["sasl_plain_username"] == "reader"
    assert made["sasl_mechanism"] == "SCRAM-SHA-512"
    assert "ssl_context" not in made


def test_sasl_takes_the_password_from_the_settings(settings: SettingsFactory) -> None:
    kafka = {"security_protocol": "SASL_SSL", "sasl_username": "reader", "sasl_password": "secret"}
    made = connection(settings(kafka=kafka))
    assert made["sasl_plain_password"] == "secret"
    assert isinstance(made["ssl_context"], ssl.SSLContext)


def test_tls_verifies_the_broker_against_the_given_certificates(
    settings: SettingsFactory, certificate: tuple[Path, Path]
) -> None:
    path, key = certificate
    kafka = {"security_protocol": "SSL", "ssl_ca_file": path, "ssl_cert_file": path, "ssl_key_file": key}
    context = connection(settings(kafka=kafka))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("name", ["sasl_password_file", "ssl_ca_file", "ssl_cert_file"])
def test_a_missing_file_is_named_with_its_setting(settings: SettingsFactory, tmp_path: Path, name: str) -> None:
    kafka = {"security_protocol": "SASL_SSL", "sasl_username": "reader", name: tmp_path / "nothing"}
    with pytest.raises(SettingsError, match=rf"kafka\.{name}: .*nothing"):
        connection(settings(kafka=kafka))


@pytest.mark.parametrize("name", ["ssl_ca_file", "ssl_cert_file"])
def test_a_file_that_is_no_certificate_is_refused(settings: SettingsFactory, tmp_path: Path, name: str) -> None:
    path = tmp_path / "nonsense.pem"
    path.write_text("no certificate")
    with pytest.raises(SettingsError, match=rf"kafka\.{name}: .*nonsense"):
        connection(settings(kafka={"security_protocol": "SSL", name: path}))


def test_a_key_without_a_certificate_is_refused(settings: SettingsFactory, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ssl_cert_file"):
        connection(settings(kafka={"security_protocol": "SSL", "ssl_key_file": tmp_path / "key"}))


def test_an_encrypted_key_is_refused_instead_of_asking(
    settings: SettingsFactory, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    path, key = certificate
    locked = tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "ec", "-in", str(key), "-aes256", "-passout", "pass:x", "-out", str(locked)],
        check=True,
        capture_output=True,
    )
    with pytest.raises(SettingsError, match="encrypted"):
        connection(settings(kafka={"security_protocol": "SSL", "ssl_cert_file": path, "ssl_key_file": locked}))
