"""The pages for readers in other languages show what the code does."""

from __future__ import annotations

import json
import re
from itertools import product

from sie_online import content
from sie_online.content import LAYOUTS
from sie_online.settings import Settings
from streams.topics import specs
from tests.support.brokers import ROOT

FORMATS, JAVA = ((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("formats", "java"))
SOURCES = ROOT / "deploy" / "java"


def test_every_topic_and_every_kind_of_message_is_on_the_page() -> None:
    assert all(f"| `{topic}` |" in FORMATS for topic in specs(Settings()))
    said = [
        content.EVENTS,
        content.ENTITIES,
        content.RECOMMENDATIONS,
        content.DEAD_LETTERS,
        content.MANIFEST,
        *content.MODELS.values(),
    ]
    said += [content.of_rows(*kind) for kind in product(("weights", "samples"), LAYOUTS)]
    for kind in said:
        assert f"`{kind.type}`" in FORMATS
        contract, _, which = kind.schema.partition("/")
        assert f"`{contract}" in FORMATS
        assert not which or f"/{which}`" in FORMATS


def test_the_java_on_the_page_is_that_of_the_reader() -> None:
    code = "\n".join(path.read_text("utf-8") for path in sorted(SOURCES.rglob("*.java")))
    blocks = re.findall(r"^```java\n(.*?)^```", JAVA, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) > 3
    assert [block for block in blocks if block.strip("\n") not in code] == []
    dependencies = re.findall(r"<artifactId>(.*?)</artifactId>\s*<version>(.*?)</version>", JAVA)
    pom = (SOURCES / "pom.xml").read_text("utf-8")
    arrow = re.findall(r"<arrow.version>(.*?)</arrow.version>", pom)[0]
    for name, version in dependencies:
        assert f"<artifactId>{name}</artifactId>" in pom
        assert version == arrow if name.startswith("arrow") else f"<version>{version}</version>" in pom


def test_what_a_layout_looks_like_is_what_it_begins_with() -> None:
    golden = ROOT / "tests" / "contract" / "golden"
    assert "begins with `{`" in FORMATS
    assert (golden / "weights-json-1.ndjson").read_bytes().startswith(b"{")
    for name in ("weights-1", "weights-packed-1", "samples-1", "samples-packed-1"):
        assert (golden / f"{name}.arrow").read_bytes().startswith(b"\xff\xff\xff\xff")
    line = re.findall(r"^item:42#3 → (.*)$", FORMATS, flags=re.MULTILINE)[0]
    assert json.loads(line)["source_partition"] == 3
