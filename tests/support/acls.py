"""ACLs for tests: the lines of ``docs/access.md``, and giving and taking rights at a broker."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from sie_online.client.connection import connection
from sie_online.settings import Settings
from tests.support.brokers import ROOT

RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional_id": 5}
PATTERNS = {"literal": 3, "prefixed": 4}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Alter": 7, "Describe": 8, "DescribeConfigs": 10}
ALLOW = 3


@dataclass(frozen=True)
class Acl:
    """One right of one principal on one resource."""

    principal: str
    operation: str
    kind: str
    name: str
    pattern: str = "literal"

    @property
    def fields(self) -> tuple[Any, ...]:
        """As the protocol has them."""
        kind, pattern, operation = RESOURCES[self.kind], PATTERNS[self.pattern], OPERATIONS[self.operation]
        return (kind, self.name, pattern, self.principal, "*", operation, ALLOW)


def documented() -> list[Acl]:
    """The lines of the page, one right each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--allow-principal")
    parser.add_argument("--operation", action="append")
    parser.add_argument("--resource-pattern-type", default="literal")
    for kind in ("topic", "group", "transactional-id"):
        parser.add_argument(f"--{kind}")
    found = []
    for line in re.findall(r"^acls (--.+)$", (ROOT / "docs" / "access.md").read_text(), re.MULTILINE):
        said = parser.parse_args(shlex.split(line))
        kind = next(kind for kind in ("topic", "group", "transactional_id") if getattr(said, kind))
        found += [
            Acl(said.allow_principal, operation, kind, getattr(said, kind), said.resource_pattern_type)
            for operation in said.operation
        ]
    return found


async def change(admin: AIOKafkaAdminClient, *, grant: Iterable[Acl] = (), revoke: Iterable[Acl] = ()) -> None:
    """Add and remove rights."""
    requests = [CreateAclsRequest(*acl.fields) for acl in grant] + [DeleteAclsRequest(*acl.fields) for acl in revoke]
    for request in requests:
        answer = await admin._send_to_controller(request)
        refusals = answer.creation_responses if isinstance(request, CreateAclsRequest) else answer.filter_responses
        assert not any(code for code, *_ in refusals), answer


@asynccontextmanager
async def administrator(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client that is connected as ``settings`` say."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
