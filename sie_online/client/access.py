"""What the brokers allow us to do, asked before anything depends on it, and said in the words of ``kafka-acls.sh``.

Of a topic Kafka tells what one may do along with its metadata. Of a group or a transactional id it only ever refuses:
so one sends what can have no effect, a heartbeat of a member that nobody is and the end of a transaction that nobody
began, and looks at the reason of the refusal. Brokers that tell nothing (no authorizer, or too old) refuse nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.transaction import EndTxnRequest, InitProducerIdRequest

from sie_online.client.metadata import RIGHTS, Metadata
from sie_online.client.tokens import token_provider
from sie_online.errors import AccessError, SieError, UnreachableError
from sie_online.settings import Settings

Operation = Literal["Read", "Write", "Create", "Alter", "Describe", "DescribeConfigs"]
Kind = Literal["topic", "group", "transactional-id", "cluster"]

REFUSALS = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""What aiokafka raises where an ACL is missing."""

_BITS: Mapping[Operation, int] = {"Read": 3, "Write": 4, "Create": 5, "Alter": 7, "Describe": 8, "DescribeConfigs": 10}
"""Codes of org.apache.kafka.common.acl.AclOperation; bit n of Kafka's answer stands for the operation of code n."""

_NOT_REPORTED = -(2**31)
"""Kafka's word for "I have not looked"."""

_NOBODY = -1


@dataclass(frozen=True, slots=True)
class Needs:
    """What somebody must be allowed to do. Read and Write include Describe; ``group`` means to read as its member."""

    topics: Mapping[str, Sequence[Operation]] = field(default_factory=dict)
    group: str | None = None
    transactional_id: str | None = None


async def missing(client: Any, settings: Settings, needs: Needs) -> list[str]:
    """What of ``needs`` the brokers would refuse, one sentence for each topic, group and id; creates and joins nothing.

    Args:
        client: a started ``AIOKafkaClient``, as every aiokafka consumer, producer and admin client has one.

    Raises:
        KafkaError: the broker does not answer.
    """
    refused = await _lacking(client, needs.topics)
    found = [_sentence(settings, "topic", topic, refused[topic]) for topic in needs.topics if refused.get(topic)]
    if needs.group is not None:
        heartbeat = HeartbeatRequest(needs.group, _NOBODY, "")
        if await _refused(client, heartbeat, GroupAuthorizationFailedError):
            found.append(_sentence(settings, "group", needs.group, ["Read"]))
    if needs.transactional_id is not None:
        end = EndTxnRequest(needs.transactional_id, _NOBODY, _NOBODY, False)
        if await _refused(client, end, TransactionalIdAuthorizationFailed):
            found.append(_sentence(settings, "transactional-id", needs.transactional_id, ["Write"]))
    # Whoever may write to any topic may do so idempotently, since Kafka 2.8: asked only where that much is there.
    writes = any("Write" in operations for operations in needs.topics.values())
    if writes and not found and await _refused(client, InitProducerIdRequest(None, 0), ClusterAuthorizationFailedError):
        found.append(_sentence(settings, "cluster", "", ["IdempotentWrite"]))
    return found


async def require(client: Any, settings: Settings, needs: Needs) -> None:
    """Raises AccessError, naming everything that is missing, where the brokers would refuse any of ``needs``."""
    if lacking := await missing(client, settings, needs):
        raise AccessError("\n".join(lacking))


def failure(error: BaseException, message: str) -> SieError:
    """``message`` as the error that tells whose turn it is after ``error`` of Kafka's: an operator's where a right is
    missing, else a broker's.
    """
    return (AccessError if isinstance(error, REFUSALS) else UnreachableError)(message)


def topic_failure(error: BaseException, settings: Settings, topic: str) -> SieError:
    """The ``failure`` of a question about ``topic``. Of a time-out it says what that may mean: no broker said it."""
    if isinstance(error, KafkaTimeoutError):
        cause = "it is overloaded, or it advertises an address (advertised.listeners) that cannot be reached from here"
        return failure(error, f"{topic}: the broker at {settings.broker} did not answer in time: {cause} ({error})")
    return failure(error, f"{topic}: the broker at {settings.broker} says {error!r}")


def refusal(settings: Settings, kind: Kind, name: str, *operations: str) -> AccessError:
    """The error of somebody whom the brokers have refused ``operations``."""
    return AccessError(_sentence(settings, kind, name, operations))


def _sentence(settings: Settings, kind: Kind, name: str, operations: Sequence[str]) -> str:
    principal = principal_of(settings)
    rights = " and ".join(filter(None, (", ".join(operations[:-1]), operations[-1])))
    line = ["kafka-acls.sh", "--bootstrap-server", settings.broker]
    if settings.kafka.security_protocol != "PLAINTEXT":
        line += ["--command-config", "admin.properties"]
    line += ["--add", "--allow-principal", principal]
    line += [word for operation in operations for word in ("--operation", operation)]
    line += ["--cluster"] if kind == "cluster" else [f"--{kind}", name]
    return f"principal {principal} lacks {rights} on {kind} {name}".rstrip() + f": run {shlex.join(line)}"


def principal_of(settings: Settings) -> str:
    """Who we are to the brokers, as far as we know: a certificate's or a token's name is theirs to derive."""
    kafka = settings.kafka
    if (tokens := token_provider(kafka)) is not None:
        return f"User:{tokens.subject or '<subject of the token>'}"
    if kafka.security_protocol.startswith("SASL"):
        return f"User:{kafka.sasl_username}"
    return "User:<name of the client certificate>" if kafka.ssl_cert_file else "User:ANONYMOUS"


async def _lacking(client: Any, topics: Mapping[str, Sequence[Operation]]) -> dict[str, list[Operation]]:
    """The operations that are refused, by topic. Nothing can be said of a topic that does not exist."""
    try:
        answer = await client.send(client.get_random_node(), Metadata(RIGHTS, topics)) if topics else None
    except (IncompatibleBrokerVersion, NotImplementedError):  # the broker is older than what we ask
        return {}
    return dict(_refusals(answer.topics, topics)) if answer else {}


def _refusals(
    answers: Iterable[tuple[Any, ...]], topics: Mapping[str, Sequence[Operation]]
) -> Iterator[tuple[str, list[Operation]]]:
    for code, topic, *_, allowed in answers:
        if code == TopicAuthorizationFailedError.errno:
            yield topic, list(topics[topic])
        elif not code and allowed != _NOT_REPORTED:
            yield topic, [operation for operation in topics[topic] if not allowed >> _BITS[operation] & 1]


async def _refused(client: Any, request: Any, refused: type[Exception]) -> bool:
    """Whether the broker refuses ``request`` for want of an ACL: that it looks at first, whatever else is wrong."""
    try:
        answer = await client.send(client.get_random_node(), request)
    except (IncompatibleBrokerVersion, NotImplementedError):
        return False
    return bool(answer.error_code == refused.errno)  # type: ignore[attr-defined]
