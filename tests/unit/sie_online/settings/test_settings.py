"""The settings object: what it refuses and how it says so, what wins, what a fingerprint covers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sie_online.client.connection import settings_at
from sie_online.errors import SettingsError
from sie_online.settings import ROW_SECTIONS, Settings, load

REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"broker": "kafka"}, "broker: 'kafka' is no address: write host:port"),
    ({"broker": "a:9092,b:0"}, "broker: 'b:0' is no address"),
    ({"broker": ""}, "broker: '' is no address"),
    ({"store": "/var/lib/sie"}, "store: '/var/lib/sie' is no URL of a store: write file:///absolute/path"),
    ({"store": "file://relative"}, "store: 'file://relative' is no URL of a store"),
    ({"topics": {"events": "sie events"}}, "topics.events: 'sie events' is no legal topic name"),
    ({"topics": {"weights": ""}}, "topics.weights: '' is no legal topic name"),
    ({"topics": {"partitions": 0}}, "topics.partitions: Input should be greater than or equal to 1"),
    ({"kafka": {"heartbeat_interval_s": 3}}, "heartbeat_interval_s must be at most a third of session_timeout_s"),
    ({"kafka": {"security_protocol": "SASL_SSL"}}, "security_protocol SASL_SSL needs sasl_username"),
    ({"kafka": {"max_message_bytes": 2_000_000}}, "kafka.max_message_bytes: Input should be less than or equal to"),
    ({"labels": {"samples": []}}, "samples and conversions need at least one event type each"),
    ({"labels": {"conversions": ["view"]}}, "['view'] cannot be both a sample and a conversion"),
    ({"labels": {"samples": ["vieww"]}}, "labels.samples: Input should be 'impression'"),
    ({"labels": {"window_s": float("nan")}}, "labels.window_s: Input should be a finite number"),
    ({"importance": {"k": 11}}, "importance.k: Input should be less than or equal to 10"),
    ({"guard": {"strength": 1.5}}, "guard.strength: Input should be less than or equal to 1"),
    ({"guard": {"alpha": 0}}, "guard.alpha: Input should be greater than 0"),
    ({"guard": {"alpha": 0.6}}, "guard.alpha: Input should be less than or equal to 0.5"),
    ({"recommend": {"publish": True}}, "recommend.publish needs recommend.enabled"),
    (
        {"recommend": {"enabled": True, "publish": True, "list_length": 200}, "limits": {"id_bytes": 1_024}},
        "a list may take 1242694 bytes",
    ),
    ({"watchdog": {"checkpoint_s": 10}}, "watchdog.checkpoint_s must be at least three times checkpoint.interval_s"),
    ({"trainer": {"window_samples": 100}}, "window_samples must be at least min_samples"),
    ({"trainer": {"shape": {"hidden1": 0}}}, "trainer.shape.hidden1: Input should be greater than or equal to 1"),
    ({"models": {"keep": 0}}, "models.keep: Input should be greater than or equal to 1"),
    ({"web": {"port": 70_000}}, "web.port: Input should be less than or equal to 65535 (environment: SIE_WEB__PORT)"),
    ({"web": {"prot": 1}}, "web.prot: there is no such setting; see 'sie config show'"),
    ({"brokr": "a:1"}, "brokr: there is no such setting"),
    ({"web": 8080}, "web: Input should be a valid dictionary"),
]


@pytest.mark.parametrize(("overrides", "sentence"), REFUSALS, ids=[sentence[:40] for _, sentence in REFUSALS])
def test_a_bad_value_is_refused_with_its_name(overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(overrides)
    assert sentence in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_a_prefix_names_every_topic_but_the_input_unless_a_name_is_given() -> None:
    topics = load({"topics": {"prefix": "b.", "samples": "mine"}}).topics
    assert (topics.events, topics.samples) == ("sie.events", "mine")
    others = (topics.weights, topics.entities, topics.models, topics.dead_letters)
    assert others == ("b.sie.weights.v1", "b.sie.entities.v1", "b.sie.models.v1", "b.sie.dead-letters.v1")
    assert load({"topics": topics.model_dump()}).topics == topics
    assert load().topics.weights == "sie.weights.v1"


def test_a_prefix_that_makes_no_topic_name_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"topics\.prefix: 'a bsie\.dead-letters\.v1' is no legal topic name"):
        load({"topics": {"prefix": "a b"}})


def test_every_problem_gets_its_line() -> None:
    with pytest.raises(SettingsError) as refusal:
        load({"web": {"port": -1}, "guard": {"strength": 2}})
    assert [line.partition(":")[0] for line in str(refusal.value).splitlines()] == ["guard.strength", "web.port"]


def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIE_BROKR", "kafka:9092")
    with pytest.raises(SettingsError, match="SIE_BROKR is no setting"):
        load()


def test_a_misspelt_variable_of_a_section_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIE_WEB__PROT", "1")
    with pytest.raises(SettingsError, match=r"web\.prot: there is no such setting.*SIE_WEB__PROT"):
        load()


@pytest.mark.parametrize("variable", ["SIE_IMPORTANCE__FACTORS", "SIE_KAFKA"])
def test_text_where_a_list_or_a_section_stands_is_explained(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "noise,delay")
    with pytest.raises(SettingsError, match="in the environment a list is JSON"):
        load()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"broker = ", "is no TOML: Invalid value"),
        (b'broker = "\xff"', "is no TOML: 'utf-8' codec"),
        (b"[webb]\nport = 1", "webb: there is no such setting"),
        (b"[web]\nport = 'x'", "web.port: Input should be a valid integer"),
    ],
)
def test_a_bad_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "sie.toml"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SIE_CONFIG", str(file))
    with pytest.raises(SettingsError) as refusal:
        load()
    assert sentence in str(refusal.value)


def test_code_wins_over_environment_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "sie.toml"
    file.write_text("group = 'file'\n[web]\nport = 1\nhost = 'file'\n[guard]\nstrength = 0.5\n")
    monkeypatch.setenv("SIE_CONFIG", str(file))
    monkeypatch.setenv("SIE_WEB__PORT", "2")
    monkeypatch.setenv("SIE_GROUP", "environment")
    settings = load({"group": "code"})
    assert (settings.group, settings.web.port, settings.web.host) == ("code", 2, "file")
    assert (settings.guard.strength, settings.topics.events) == (0.5, "sie.events")


def test_lists_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIE_IMPORTANCE__FACTORS", '["noise"]')
    assert load().importance.factors == ("noise",)


def test_an_empty_file_variable_means_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIE_KAFKA__SSL_CA_FILE", "")
    assert load().kafka.ssl_ca_file is None


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().web.port = 1


def changed(section: str) -> dict[str, Any]:
    """An override that moves one setting of ``section`` away from its default."""
    return {
        "limits": {"future_s": 1},
        "labels": {"window_s": 1},
        "dedupe": {"events": 1},
        "entities": {"users": 64},
        "events": {"format": "package.module:Class"},
        "recommender": {"seed": 1},
        "importance": {"k": 2},
        "guard": {"strength": 0},
        "privacy": {"hmac_key_file": "/key"},
    }[section]


@pytest.mark.parametrize("section", ROW_SECTIONS)
def test_the_fingerprint_changes_with_what_changes_rows(section: str) -> None:
    assert load({section: changed(section)}).fingerprint() != load().fingerprint()


def test_the_fingerprint_ignores_what_changes_no_row() -> None:
    elsewhere = {
        "broker": "b:1",
        "group": "g",
        "instance_id": "i",
        "store": "file:///s",
        "sinks": ["parquet=file:///rows"],
        "log_level": "debug",
        "kafka": {"max_poll_records": 7},
        "topics": {"weights": "w"},
        "output": {"version": 1},
        "recommend": {"enabled": True},
        "checkpoint": {"interval_s": 1},
        "watchdog": {"progress_s": 1},
        "web": {"port": 0},
        "api": {"port": 0},
        "trainer": {"every_s": 1},
        "models": {"keep": 1},
    }
    assert set(elsewhere) | set(ROW_SECTIONS) == set(Settings.model_fields), "say on which side a new section is"
    assert load(elsewhere).fingerprint() == load().fingerprint()


def test_the_fingerprint_is_of_values_not_of_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIE_LABELS__WINDOW_S", "3600")
    assert load().fingerprint() == load({"labels": {"window_s": 3600.0}}).fingerprint()


def test_secrets_are_never_printed() -> None:
    settings = load({"kafka": {"sasl_password": "hunter2"}})
    assert settings.kafka.sasl_password.get_secret_value() == "hunter2"
    for text in (
        str(settings),
        repr(settings),
        settings.model_dump_json(),
        json.dumps(settings.model_dump(mode="json")),
    ):
        assert "hunter2" not in text


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as refusal:
        load({"kafka": {"sasl_password": ["hunter2"]}})
    assert "hunter2" not in str(refusal.value)


def test_every_setting_is_described() -> None:
    sections = [
        field.annotation for field in Settings.model_fields.values() if hasattr(field.annotation, "model_fields")
    ]
    for model in [Settings, *sections]:
        for name, field in model.model_fields.items():  # type: ignore[union-attr]
            assert field.description or hasattr(field.annotation, "model_fields"), f"{model}.{name}"


@pytest.mark.parametrize("service", ["SIE", "SIE_WORKER", "SIE_ONLINE_TRAINER_2", "SIE_WEB", "SIE_STORE"])
def test_what_kubernetes_puts_into_every_pod_for_a_service_of_our_name_is_ignored(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    for suffix, value in {
        "PORT": "tcp://10.3.0.1:8080",
        "SERVICE_HOST": "10.3.0.1",
        "SERVICE_PORT": "8080",
        "SERVICE_PORT_HTTP": "8080",
        "SERVICE_PORT_HTTP_METRICS": "9090",
        "PORT_8080_TCP": "tcp://10.3.0.1:8080",
        "PORT_8080_TCP_PROTO": "tcp",
        "PORT_8080_TCP_PORT": "8080",
        "PORT_8080_TCP_ADDR": "10.3.0.1",
        "PORT_53_UDP": "udp://10.3.0.1:53",
    }.items():
        monkeypatch.setenv(f"{service}_{suffix}", value)
    assert load() == load({})
    assert settings_at(None, "kafka:1").broker == "kafka:1"  # a subscriber's, too


@pytest.mark.parametrize(
    ("variable", "value", "meant"),
    [
        ("SIE_WEB_PORT", "0", "SIE_WEB__PORT"),
        ("SIE_CHECKPOINT_INTERVAL_S", "5", "SIE_CHECKPOINT__INTERVAL_S"),
        ("SIE_BROKERS", "a:1", "SIE_BROKER"),
        ("SIE_CACHEDIR", "/var/cache", "SIE_CACHE_DIR"),
        ("SIE_CHECKPOINT__INTERVALS", "5", "checkpoint.interval_s"),
        ("SIE_WEB__PROT", "5", "web.port"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, meant: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=rf"did you mean {meant}\?"):
        load()


def test_all_unknown_variables_are_told_at_once_and_no_name_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIE_XYZZY", "1")
    monkeypatch.setenv("SIE_PLUGH", "1")
    with pytest.raises(SettingsError) as refusal:
        load()
    assert [line.split()[0] for line in str(refusal.value).splitlines()] == ["SIE_PLUGH", "SIE_XYZZY"]
    assert "did you mean" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "10.0.0.1:8082",
        "ftp://a",
        "http://",
        "http://a:x",
        "http://user:pw@a",
        "http://a?b",
        "http://a/#c",
        "http://a b",
    ],
)
def test_an_advertised_url_must_be_one_that_paths_can_be_appended_to(url: str) -> None:
    with pytest.raises(SettingsError, match=r"api\.advertised_url: .* is no address of a worker"):
        load({"api": {"advertised_url": url}})


def test_an_advertised_url_ends_without_a_slash() -> None:
    assert load({"api": {"advertised_url": "https://sie.example:8443/worker/"}}).api.advertised_url[-1] == "r"


def test_queries_are_off_and_change_no_row() -> None:
    assert not load().api.enabled
    assert load({"api": {"token_file": "/none", "recent_bytes": 1 << 30}}).fingerprint() == load().fingerprint()
