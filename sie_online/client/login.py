"""Why the brokers do not let us in: aiokafka says no more than that it could not connect, whatever they answered."""

from __future__ import annotations

import ssl

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from sie_online.client.access import principal_of
from sie_online.client.connection import connection
from sie_online.client.tokens import NoTokenError
from sie_online.errors import SettingsError, UnreachableError
from sie_online.settings import Settings

ANSWER_MS = 4_000


async def require_login(settings: Settings) -> None:
    """Connect once more, after that has failed; returns where the brokers say nothing, or let us in now.

    Raises:
        SettingsError: they refuse our login or certificate, or we do not trust theirs.
        UnreachableError: there is no token to log in with.
    """
    arguments = connection(settings)
    for host, port, _ in collect_hosts(arguments.pop("bootstrap_servers"), randomize=False):
        try:
            opened = await create_conn(host, port, request_timeout_ms=ANSWER_MS, **arguments)
        except NoTokenError as error:
            raise UnreachableError(f"no token to log in with: {error.args[0]}") from None
        except (KafkaError, OSError, TimeoutError) as error:
            if refusal := _refusal(settings, error):
                raise SettingsError(f"broker {host}:{port} {refusal}") from None
        else:
            await opened.close()
            return


def _refusal(settings: Settings, error: Exception) -> str:
    """What of ``error`` a person has to mend; empty where trying again may help."""
    mechanism = settings.kafka.sasl_mechanism
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"does not take kafka.sasl_mechanism {mechanism}"
    if isinstance(error, SaslAuthenticationFailed):
        ours = "the kafka.oauth_ settings" if settings.kafka.wants_tokens else "kafka.sasl_username and its password"
        return f"refuses {principal_of(settings)} by {mechanism}: {' '.join(map(str, error.args))}; check {ours}"
    of_tls = error if isinstance(error, ssl.SSLError) else error.__cause__  # a refusal comes after the handshake
    if isinstance(of_tls, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not trusted ({of_tls.verify_message}): check kafka.ssl_ca_file"
    reason = str(of_tls.reason or "") if isinstance(of_tls, ssl.SSLError) else ""
    if "CERTIFICATE" in reason:
        return f"refuses our certificate ({reason}): check kafka.ssl_cert_file and kafka.ssl_key_file"
    return "speaks no TLS there: check kafka.security_protocol" if reason == "WRONG_VERSION_NUMBER" else ""
