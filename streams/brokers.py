"""The brokers' administrative side: one client, one deadline, and what does not answer as one kind of error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from sie_online.client.connection import connection
from sie_online.client.login import require_login
from sie_online.errors import UnreachableError
from sie_online.settings import Settings


async def count_brokers(settings: Settings) -> int:
    """How many brokers the cluster has.

    Raises:
        UnreachableError: no answer within ``kafka.request_timeout_s``.
    """
    async with broker_admin(settings) as admin:
        return len((await admin.describe_cluster())["brokers"])


@asynccontextmanager
async def broker_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, and one deadline for all that is done with it.

    Raises:
        SettingsError: the brokers refuse our login, or there are no credentials.
        UnreachableError: no answer within ``kafka.request_timeout_s``.
    """
    limit_s = settings.kafka.request_timeout_s
    admin = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=round(limit_s * 1000))
    try:
        async with asyncio.timeout(limit_s):
            await admin.start()
            yield admin
    except TimeoutError as error:
        raise UnreachableError(f"broker {settings.broker} did not answer within {limit_s:g} s") from error
    except KafkaConnectionError as error:  # what the client says holds no more than the addresses, as Python objects
        await require_login(settings)
        hint = "is it up, and are the SIE_KAFKA__ security settings the right ones?"
        raise UnreachableError(f"broker {settings.broker} cannot be reached: {hint}") from error
    except (KafkaError, OSError) as error:
        raise UnreachableError(f"broker {settings.broker} failed us: {error}") from error
    finally:
        await admin.close()
