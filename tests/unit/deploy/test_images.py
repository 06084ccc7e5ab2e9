"""Images and compose file fit each other, the settings, and the files that they name."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from sie_online.settings import Settings, load
from streams.cli.config import effective
from streams.cli.root import run
from streams.lake.places import Place
from streams.observe.http import is_known_host
from tests.support.brokers import ROOT
from tests.support.dockerfile import FOLDER, Dockerfile, copy_context

IMAGES = ("worker", "trainer")
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("sie-"))
BASE = {"PATH": "/usr/bin"}


def image_of(service: dict[str, Any]) -> Dockerfile:
    """What a service of ours is built with."""
    return Dockerfile(Path(service["build"]["dockerfile"]).name.removesuffix(".Dockerfile"))


def settings_in(service: dict[str, Any]) -> dict[str, str]:
    """The settings under which a service of ours runs: its image's, and its own."""
    image = image_of(service).environment(BASE)
    return {name: str(text) for name, text in (image | service["environment"]).items() if name.startswith("SIE_")}


@pytest.fixture
def under(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets a service's settings for what is called next."""

    def put(service: dict[str, Any]) -> Settings:
        for name, text in settings_in(service).items():
            monkeypatch.setenv(name, text)
        return load()

    return put


def sources(service: dict[str, Any]) -> list[str]:
    """What a service's volumes mount, files and names."""
    return [volume.partition(":")[0] for volume in service.get("volumes", ())]


# -- Dockerfiles


def test_hadolint_has_nothing_to_say() -> None:
    files = [str(Dockerfile(name).path) for name in IMAGES]
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), *files], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_image_s_python_is_one_that_is_tested() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    for name in IMAGES:
        (version,) = re.findall(r"ARG PYTHON=(\d+\.\d+)\.\d+-slim", Dockerfile(name).path.read_text("utf-8"))
        assert wanted == f">={version}"


def test_the_two_differ_in_what_they_run_alone() -> None:
    worker, trainer = (Dockerfile(name) for name in IMAGES)
    apart = {keyword for keyword, _ in set(worker.instructions) ^ set(trainer.instructions)}
    assert apart == {"LABEL", "ENV", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert (worker.volumes(), worker.one("USER")) == (trainer.volumes(), "10001:10001")


def test_a_build_sees_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    copy_context(tmp_path)
    seen = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    packages = {"models", "sie_online", "streams"}
    assert seen == packages | {"LICENSE", "README.md", "constraints.txt", "deploy", "hatch_build.py", "pyproject.toml"}
    for name in IMAGES:
        for given in re.findall(r"(?:COPY|install\.sh|python) (deploy/\S+)", Dockerfile(name).path.read_text("utf-8")):
            assert (tmp_path / given).is_file(), given


# -- compose


@pytest.mark.parametrize("name", OURS)
def test_a_service_s_settings_are_ones_that_a_worker_accepts(
    name: str, under: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    under(SERVICES[name])
    assert run(["config", "check"]) == 0, capsys.readouterr()


def test_settings_that_are_only_mentioned_exist() -> None:
    known = {setting.environment for setting in effective(load())} | {"SIE_CACHE_DIR"}
    texts = [
        (FOLDER / "compose.yaml").read_text("utf-8"),
        *(Dockerfile(name).path.read_text("utf-8") for name in IMAGES),
    ]
    mentioned = {name for text in texts for name in re.findall(r"SIE_[A-Z_]+", text)}
    assert mentioned - known == set()


@pytest.mark.parametrize(("name", "site"), [("worker", lambda all: all.web), ("trainer", lambda all: all.trainer.web)])
def test_ports_are_those_that_the_settings_say(name: str, site: Any, under: Any) -> None:
    address = site(under(SERVICES[name]))
    assert SERVICES[name]["ports"] == [f"127.0.0.1:{address.port}:{address.port}"]
    assert Dockerfile(name).one("EXPOSE") == str(address.port)
    assert f'"{address.port}"' in Dockerfile(name).one("HEALTHCHECK")
    assert address.host == "0.0.0.0", "or the container alone could reach it"  # noqa: S104


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_mounts_and_waits_for_is_there(name: str) -> None:
    service = SERVICES[name]
    for source in sources(service):
        assert (FOLDER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source
    for other, when in service.get("depends_on", {}).items():
        runs_on = "healthcheck" in SERVICES[other]
        assert when["condition"] == ("service_healthy" if runs_on else "service_completed_successfully"), other
    for secret in service.get("secrets", ()):
        assert f"/deploy/docker/{secret}" in (ROOT / ".gitignore").read_text("utf-8").split()
        assert COMPOSE["secrets"][secret] == {"file": f"./{secret}"}


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_writes_into_volumes_alone_and_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    image = image_of(service)
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert {volume.split(":")[1] for volume in service.get("volumes", ())} <= set(image.volumes())
    assert service["build"]["dockerfile"] == str(image.path.relative_to(ROOT))
    assert (FOLDER / service["build"]["context"]).resolve() == ROOT


def test_images_are_pinned_and_ports_are_the_loopback_interface_s() -> None:
    for name, service in SERVICES.items():
        assert name in OURS or re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"]), service["image"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    assert f"<version>{SERVICES['kafka']['image'].partition(':')[2]}</version>" in (
        ROOT / "deploy" / "kafka" / "pom.xml"
    ).read_text("utf-8"), "the version that tests run on"


def test_prometheus_asks_under_names_that_are_answered() -> None:
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8"))
    *always, sink = configuration["scrape_configs"]
    targets = [each for job in always for part in job["static_configs"] for each in part["targets"]]
    assert targets == ["worker:8080", "trainer:8081"]
    for target in targets:
        name, _, port = target.partition(":")
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert is_known_host(target, [SERVICES[name]["hostname"]])
    (found,) = sink["dns_sd_configs"]
    assert (found["names"], found["type"]) == (["sink"], "A"), "asks by address, which is always answered"
    assert str(found["port"]) == option(SERVICES["sink"], "--metrics-port")


def option(service: dict[str, Any], name: str) -> str:
    """What a service's command says behind an option."""
    command = service["command"]
    return str(command[command.index(name) + 1])


def test_a_sink_is_an_option_whose_image_has_what_its_tables_take(under: Any) -> None:
    sink = SERVICES["sink"]
    under(sink)
    assert sink["profiles"] == ["sink"]
    assert run([*sink["command"], "--help"]) == 0, "options that there are"
    assert Place.of(option(sink, "--to")).format == "delta"
    assert "lake" in sink["build"]["args"]["EXTRAS"].split(",")
    image = image_of(sink)
    assert "ARG EXTRAS=worker\n" in image.path.read_text("utf-8"), "and a worker's has not"
    assert option(sink, "--metrics-port") == image.one("EXPOSE"), "which the image's health check asks"
    assert load().web.host == "0.0.0.0", "or the container alone could reach it"  # noqa: S104
    (lake,) = sink["volumes"]
    assert option(sink, "--to").removeprefix("delta+file://") == lake.partition(":")[2]


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text("utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "sie-online.yaml").read_text("utf-8"))["providers"]
    mounted = dict(volume.split(":")[1::-1] for volume in SERVICES["grafana"]["volumes"] if volume.startswith("."))
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(provider["options"]["path"])
    assert (FOLDER / mounted[provider["options"]["path"]] / Path(home).name).is_file()
