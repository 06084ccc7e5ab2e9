"""``sie config``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sie_online.settings import load
from streams.cli.config import effective
from streams.cli.root import run


def test_check_is_ok_with_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check"]) == 0
    assert capsys.readouterr().out.startswith("OK: 0 settings differ from their defaults")


def test_check_counts_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--set", "web.port=0", "--set", "web.host=127.0.0.1", "config", "check"]) == 0
    assert capsys.readouterr().out.startswith("OK: 1 setting differs from its default, ")


def test_check_lists_the_problems_and_exits_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIE_WEB__PORT", "x")
    assert run(["--set", "guard.strength=2", "config", "check"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "guard.strength" in printed.err
    assert "web.port" in printed.err


def test_check_refuses_a_file_of_tokens_that_keeps_no_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    file.touch(mode=0o600)
    check = ["--set", f"api.token_file={file}", "config", "check"]
    for text, mode, says in (("", 0o600, "holds no token"), ("k" * 40, 0o644, "chmod o-r"), ("k" * 9, 0o600, "32")):
        file.write_text(text)
        file.chmod(mode)
        assert run(check) == 2
        assert says in capsys.readouterr().err
    file.write_text("k" * 40)
    assert run(check) == 0


def test_check_as_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "fingerprint": load().fingerprint()}


def test_show_names_every_setting_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--set", "labels.window_s=3600", "config", "show"]) == 0
    printed = capsys.readouterr().out
    assert "labels.window_s = 3600.0\n    SIE_LABELS__WINDOW_S: Attribution window" in printed
    for setting in effective(load()):
        assert f"{setting.name} = " in printed
        assert f"    {setting.environment}: " in printed


def test_show_as_json_carries_values_defaults_and_meanings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--set", "web.port=0", "config", "show", "--json"]) == 0
    settings = {row["name"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
    assert settings["web.port"] == {
        "name": "web.port",
        "value": 0,
        "default": 8080,
        "environment": "SIE_WEB__PORT",
        "description": "Port to listen on; 0 picks a free one.",
        "choices": [],
    }
    assert settings["kafka.compression"]["choices"] == ["none", "gzip", "lz4", "zstd"]


def test_show_says_of_a_section_what_it_is_for_and_which_values_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "trainer.fine_tune", "web.port"]) == 0
    printed = capsys.readouterr().out
    assert "\n[trainer.fine_tune] " in printed
    assert "One of: influence, " in printed
    assert "web.port = 8080" in printed
    assert "web.host" not in printed
    assert run(["config", "show", "trainer.fine"]) == 2
    assert "there is no such setting or section" in capsys.readouterr().err


def test_sizing_adds_up_and_follows_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--set", "topics.partitions=3", "config", "sizing", "--json"]) == 0
    three = json.loads(capsys.readouterr().out)
    shard = sum(part["memory"] for part in three["shard"])
    assert three["partitions"] == 3
    assert three["memory"] == three["process"] + 3 * shard + sum(three["waiting"].values())
    assert run(["config", "sizing", "--partitions", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"] == three["memory"] - 2 * shard
    assert run(["--set", "entities.users=1000000", "config", "sizing"]) == 0
    shown = capsys.readouterr().out
    assert "1,048,576" in shown
    assert "worker, at most" in shown


def test_show_keeps_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        assert run(["--set", "kafka.sasl_password=hunter2", *arguments]) == 0
        printed = capsys.readouterr()
        assert "hunter2" not in printed.out + printed.err
        assert "***" in printed.out


def test_every_variable_of_show_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in effective(load()):
        if setting.value is not None:
            value = json.dumps(setting.value) if isinstance(setting.value, list) else str(setting.value)
            monkeypatch.setenv(setting.environment, value)
    assert load().fingerprint()


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("store=ftp://bucket/sie", "'ftp://bucket/sie' is of a kind that is not supported"),
        ("events.format=avro", "events.format: 'avro' is unknown: there are json, or write package.module:Class"),
        ('sinks=["orc=file:///rows"]', "sinks: 'orc' is unknown: there are parquet, or write package.module:Class"),
        ('sinks=["parquet"]', "sinks: parquet needs a place, as in parquet=file:///data/rows, not ''"),
    ],
)
def test_check_refuses_extensions_that_there_are_not(
    assignment: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--set", assignment, "config", "check"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
