"""The AsyncAPI document is one by AsyncAPI's own parser, and says what the code says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sie_online.schemas import DIRECTORY, schemas
from sie_online.schemas.channels import CHANNELS
from sie_online.settings import Recommend, Settings
from streams.topics import specs
from tests.support.brokers import ROOT
from tests.support.requirements import end, need

VERSION = "3.6.6"
HERE = ROOT / "build" / "asyncapi"
DOCUMENT = ROOT / DIRECTORY / "asyncapi.json"
CHECK = """
import { Parser } from "@asyncapi/parser";
import { readFileSync } from "node:fs";
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
console.log(JSON.stringify({
  found: diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path })),
  channels: document ? document.allChannels().all().map((one) => one.address()) : [],
  messages: document ? document.allMessages().all().map((one) => one.name()) : [],
}));
"""
WARNING = 1
"""Severities up to this are errors and warnings; the rest is advice."""


@pytest.fixture(scope="module")
def parser() -> Path:
    """A script that has AsyncAPI's parser read a document; the parser is fetched once per checkout (54 MB)."""
    need("node", "npm", install="apt-get install --no-install-recommends nodejs npm")
    package = HERE / "node_modules" / "@asyncapi" / "parser" / "package.json"
    if not package.exists() or json.loads(package.read_text("utf-8"))["version"] != VERSION:
        HERE.mkdir(parents=True, exist_ok=True)
        options = ["--prefix", str(HERE), "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
        made = subprocess.run(
            ["npm", "install", *options, f"@asyncapi/parser@{VERSION}"], capture_output=True, text=True, timeout=300
        )
        if made.returncode:
            end(f"@asyncapi/parser cannot be fetched: {made.stderr.strip()[-500:]}")
    script = HERE / "check.mjs"
    script.write_text(CHECK, "utf-8")
    return script


def parsed(parser: Path, document: Path) -> dict[str, Any]:
    done = subprocess.run(["node", str(parser), str(document)], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.timeout(420)
def test_the_official_parser_finds_nothing_wrong_and_every_topic(parser: Path, tmp_path: Path) -> None:
    said = parsed(parser, DOCUMENT)
    assert [one for one in said["found"] if one["severity"] <= WARNING] == []
    assert sorted(said["channels"]) == sorted(channel.address for channel in CHANNELS)
    assert len(set(said["messages"])) == sum(len(channel.messages) for channel in CHANNELS)

    broken = json.loads(DOCUMENT.read_text("utf-8"))
    broken["operations"]["sendWeights"]["channel"]["$ref"] = "#/channels/nowhere"
    (tmp_path / "broken.json").write_text(json.dumps(broken), "utf-8")
    assert any(one["severity"] == 0 for one in parsed(parser, tmp_path / "broken.json")["found"])


def test_every_topic_is_a_channel_with_its_cleanup_policy_and_has_a_schema() -> None:
    topics = {
        name: spec.cleanup for name, spec in specs(Settings(recommend=Recommend(enabled=True, publish=True))).items()
    }
    assert {channel.address: channel.cleanup for channel in CHANNELS} == topics
    assert schemas().keys() == topics.keys()


def test_messages_of_a_channel_are_told_apart_by_their_header() -> None:
    for channel in CHANNELS:
        said = [message.content.schema for message in channel.messages]
        assert len(set(said)) == len(said)
        assert all(schema.split("/")[0] == channel.address for schema in said)
