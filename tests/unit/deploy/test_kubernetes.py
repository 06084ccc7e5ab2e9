"""The manifests of deploy/kubernetes: valid by Kubernetes' own schemas, and true to what the code takes and serves."""

from __future__ import annotations

import ipaddress
import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from sie_online.settings import KNOWN_ELSEWHERE, Settings, load
from sie_online.settings.environment import names, variable_of
from streams.cli.root import COMMANDS, run
from streams.lake.places import Place
from tests.benchmarks.capacity import Assumed
from tests.support.brokers import ROOT
from tests.support.kustomize import MERGED_BY, Object, Rendered, documents

KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.31", kubernetes_validate.latest_version())
"""The oldest that is still about, and the newest."""
COMPONENTS = ("shared-folder", "sink")
FOLDERS = ("base", "overlays/production", *COMPONENTS)
CUSTOM = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1"}
"""Of which the package has no schemas."""
SITES = {
    "sie-worker": "streams/observe/web.py",
    "sie-trainer": "streams/trainer/site.py",
    "sie-sink": "streams/lake/site.py",
}
"""What answers probes and Prometheus."""


@pytest.fixture(scope="module", params=FOLDERS)
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """What each folder comes to; the last are the base with a component."""
    return Rendered(_folder(request.param, tmp_path_factory))


def _folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if name not in COMPONENTS:
        return KUBERNETES / name
    copied = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(KUBERNETES, copied)
    made = copied / "overlays" / name
    made.mkdir()
    said = {"resources": ["../../base"], "components": [f"../../components/{name}"]}
    (made / "kustomization.yaml").write_text(yaml.safe_dump(said))
    return made


@pytest.fixture(scope="module")
def production() -> Rendered:
    """The overlay."""
    return Rendered(KUBERNETES / "overlays" / "production")


def pods(rendered: Rendered) -> dict[str, Object]:
    """The pods' specifications, by the name of what makes them."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in rendered.objects
        if "template" in each.get("spec", {})
    }


def container(pod: Object) -> Object:
    """Its only one."""
    (only,) = pod["containers"]
    return dict(only)


def settings_of(rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the pods of the fleet run under."""
    file = tmp_path / "sie.toml"
    file.write_text(rendered.one("ConfigMap", "sie-settings")["data"]["sie.toml"])
    monkeypatch.setenv("SIE_CONFIG", str(file))
    monkeypatch.setenv("SIE_KAFKA__SASL_USERNAME", "of-the-secret")
    return load()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_by_the_schemas_of_kubernetes(rendered: Rendered, version: str) -> None:
    ours = [each for each in rendered.objects if each["apiVersion"] not in CUSTOM]
    assert len(ours) >= 8
    for each in ours:
        kubernetes_validate.validate(each, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    worker = Rendered(KUBERNETES / "base").one("StatefulSet", "sie-worker")
    worker["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 30
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriodSecond"):
        kubernetes_validate.validate(worker, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_kustomize_makes_of_them_what_is_looked_at_here(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    command = next(filter(shutil.which, ("kubectl", "kustomize")), None)
    if command is None:
        pytest.skip("neither kubectl nor kustomize is here")
    folder = _folder(name, tmp_path_factory)
    built = [command, "kustomize" if command == "kubectl" else "build", str(folder)]
    made = subprocess.run(built, check=True, capture_output=True, text=True).stdout
    made = re.sub(r"\bsie-settings-[a-z0-9]{10}\b", "sie-settings", made)
    theirs = {_name(each): _in_order(each) for each in yaml.safe_load_all(made)}
    assert theirs == {_name(each): _in_order(each) for each in Rendered(folder).objects}


def _name(each: Object) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def _in_order(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _in_order(below, name) for name, below in value.items()}
    if isinstance(value, list):
        below = [_in_order(each) for each in value]
        return sorted(below, key=lambda each: str(each[MERGED_BY[key]])) if key in MERGED_BY else below
    return value


# -- what the processes are told


def test_the_settings_are_good_and_their_files_are_mounted(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(rendered, tmp_path, monkeypatch)
    assert run(["config", "check"]) == 0, capsys.readouterr().err
    files = [settings.kafka.sasl_password_file, settings.kafka.ssl_ca_file]
    for pod in pods(rendered).values():
        mounted = {mount["mountPath"] for mount in container(pod)["volumeMounts"]}
        assert all(str(file.parent) in mounted for file in files if file)


def test_variables_are_settings_and_arguments_are_commands(rendered: Rendered) -> None:
    known = {variable_of(name) for name in names(Settings)} | KNOWN_ELSEWHERE | {"TMPDIR"}
    for pod in pods(rendered).values():
        assert {each["name"] for each in container(pod)["env"]} <= known
        command, *rest = container(pod)["args"]
        assert command in COMMANDS
        assert run([command, *rest, "--help"]) == 0


def test_a_worker_is_a_static_member_under_its_pods_name_and_comes_back_within_its_session(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = pods(rendered)["sie-worker"]
    (instance,) = [each for each in container(worker)["env"] if each["name"] == "SIE_INSTANCE_ID"]
    assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    settings = settings_of(rendered, tmp_path, monkeypatch)
    assert settings.kafka.session_timeout_s >= 45  # a start takes 5 to 20 s
    assert worker["terminationGracePeriodSeconds"] > settings.watchdog.shutdown_s


# -- how they are watched


def test_probes_ask_pages_that_the_site_has_on_the_port_that_it_opens(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(rendered, tmp_path, monkeypatch)
    for name, pod in pods(rendered).items():
        if name not in SITES:
            continue
        only = container(pod)
        address = settings.trainer.web if name == "sie-trainer" else settings.web
        assert ipaddress.ip_address(address.host).is_unspecified
        assert only["ports"] == [{"name": "http", "containerPort": address.port}]
        probes = {kind: only[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
        assert {kind: probe["httpGet"] for kind, probe in probes.items()} == {
            "startup": {"path": "/healthz", "port": "http"},
            "liveness": {"path": "/healthz", "port": "http"},  # readiness falls with the brokers, and must end nothing
            "readiness": {"path": "/readyz", "port": "http"},
        }
        site = (ROOT / SITES[name]).read_text("utf-8")
        assert all(f'"{probe["httpGet"]["path"]}":' in site for probe in probes.values())
        assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 120
        assert probes["liveness"]["periodSeconds"] * probes["liveness"]["failureThreshold"] >= 30


def test_prometheus_is_let_in_and_scrapes_by_the_jobs_that_the_rules_name(production: Rendered) -> None:
    for name in SITES:
        monitor = production.one("PodMonitor", name)["spec"]
        pod = production.one("StatefulSet" if name == "sie-worker" else "Deployment", name)["spec"]["template"]
        assert monitor["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert pod["metadata"]["labels"][monitor["jobLabel"]] == name
        (endpoint,) = monitor["podMetricsEndpoints"]
        assert endpoint["port"] in {port["name"] for port in container(pod["spec"])["ports"]}
        assert endpoint["path"] == "/metrics"
    policy = production.one("NetworkPolicy", "sie")["spec"]
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == {8080, 8081}


def test_rules_become_what_the_prometheus_operator_reads(tmp_path: Path) -> None:
    groups = {
        "groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0", "annotations": {"s": "a: {{ b }}"}}]}]
    }
    files = [tmp_path / "fleet.yml", *sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))]
    files[0].write_text("# why\n" + yaml.safe_dump(groups))
    printed = subprocess.run([KUBERNETES / "rules.sh", *files], check=True, capture_output=True, text=True).stdout
    made = list(yaml.safe_load_all(printed))
    assert [each["metadata"]["name"] for each in made] == [f"sie-{file.stem}" for file in files]
    assert [each["spec"] for each in made] == [yaml.safe_load(file.read_text()) for file in files]
    assert {(each["apiVersion"], each["kind"]) for each in made} == {("monitoring.coreos.com/v1", "PrometheusRule")}


# -- how they are run


def test_pods_may_do_nothing_but_write_to_their_volumes(rendered: Rendered) -> None:
    for name, pod in pods(rendered).items():
        only = container(pod)
        assert not pod["enableServiceLinks"], name
        assert not pod["automountServiceAccountToken"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in only["volumeMounts"]} == volumes.keys()
        writable = {mount["mountPath"]: mount["name"] for mount in only["volumeMounts"] if not mount.get("readOnly")}
        told = {each["name"]: each["value"] for each in only["env"] if "value" in each}
        assert writable.keys() - {"/var/lib/sie"} == {told["TMPDIR"], told["SIE_CACHE_DIR"]}
        scratch = volumes[writable[told["TMPDIR"]]]["emptyDir"]
        assert "sizeLimit" in scratch
        assert "medium" not in scratch  # memory would be no place for open views
        assert "memory" in only["resources"]["limits"]


def test_secrets_are_named_and_never_held(rendered: Rendered) -> None:
    assert "Secret" not in {each["kind"] for each in rendered.objects}
    (told,) = [each["data"]["sie.toml"] for each in rendered.objects if each["kind"] == "ConfigMap"]
    assert "sasl_password" not in tomllib.loads(told).get("kafka", {})
    for pod in pods(rendered).values():
        for each in container(pod)["env"]:
            assert "value" not in each or not re.search("PASSWORD|SECRET|KEY", each["name"])


def test_selectors_find_their_pods_and_names_what_they_name(rendered: Rendered) -> None:
    labels = rendered.one("StatefulSet", "sie-worker")["spec"]["template"]["metadata"]["labels"]
    assert rendered.one("StatefulSet", "sie-worker")["spec"]["serviceName"] == "sie-worker"
    assert rendered.one("Service", "sie-worker")["spec"]["selector"].items() <= labels.items()
    for kind, name in (
        ("StatefulSet", "sie-worker"),
        ("Deployment", "sie-trainer"),
        ("PodDisruptionBudget", "sie-worker"),
    ):
        assert rendered.one(kind, name)["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": name}
    for each in pods(rendered)["sie-worker"]["topologySpreadConstraints"]:
        assert each["labelSelector"]["matchLabels"].items() <= labels.items()
    policed = rendered.one("NetworkPolicy", "sie")["spec"]["podSelector"]["matchLabels"]
    assert policed
    for template in rendered.templates():
        assert policed.items() <= template["metadata"]["labels"].items()
    made = {(each["kind"], each["metadata"]["name"]) for each in rendered.objects}
    for pod in pods(rendered).values():
        assert ("ServiceAccount", pod["serviceAccountName"]) in made
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in made


def test_there_is_one_trainer_with_one_gpu(rendered: Rendered) -> None:
    trainer = rendered.one("Deployment", "sie-trainer")["spec"]
    assert (trainer["replicas"], trainer["strategy"]) == (1, {"type": "Recreate"})
    resources = container(trainer["template"]["spec"])["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize("folder", ["sink", "overlays/production"])
def test_there_is_one_sink_and_never_two(folder: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    rendered = Rendered(_folder(folder, tmp_path_factory))
    sink = rendered.one("Deployment", "sie-sink")["spec"]
    assert (sink["replicas"], sink["strategy"]) == (1, {"type": "Recreate"})
    assert sink["selector"]["matchLabels"] == {"app.kubernetes.io/name": "sie-sink"}
    only = container(sink["template"]["spec"])
    given = dict(itertools.pairwise(only["args"]))
    assert Place.of(given["--to"]).format == "delta"
    assert "sie-online/sink" in only["image"], "which has what Delta takes"
    assert only["ports"] == [{"name": "http", "containerPort": int(given["--metrics-port"])}]


def test_a_drain_takes_one_worker_at_a_time_and_is_not_held_up_by_unready_ones(rendered: Rendered) -> None:
    budget = rendered.one("PodDisruptionBudget", "sie-worker")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_workers_are_as_many_as_lag_asks_for_and_never_more_than_partitions(
    production: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(production, tmp_path, monkeypatch)
    scaled = production.one("ScaledObject", "sie-worker")["spec"]
    target = scaled["scaleTargetRef"]
    worker = production.one(target["kind"], target["name"])
    assert worker["apiVersion"] == target["apiVersion"]
    assert "replicas" not in worker["spec"]  # or applying anew would set back what KEDA has found
    assert 1 <= scaled["minReplicaCount"] < scaled["maxReplicaCount"] <= settings.topics.partitions
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["bootstrapServers"] == settings.broker
    assert trigger["metadata"]["consumerGroup"] == settings.group == Settings.model_fields["group"].default
    assert trigger["metadata"]["topic"] == settings.topics.events
    assert trigger["metadata"]["sasl"] == settings.kafka.sasl_mechanism.lower().replace("-", "_").replace("sha_", "sha")
    login = production.one("TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]
    assert {each["parameter"] for each in login["secretTargetRef"]} == {"username", "password", "ca"}


def test_the_base_scales_within_its_partitions_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(Rendered(KUBERNETES / "base"), tmp_path, monkeypatch)
    (scaled,) = documents(KUBERNETES / "components" / "autoscaling" / "scaledobject.yaml")
    (trigger,) = scaled["spec"]["triggers"]
    assert scaled["spec"]["maxReplicaCount"] <= settings.topics.partitions
    told = [trigger["metadata"][name] for name in ("bootstrapServers", "consumerGroup", "topic")]
    assert told == [settings.broker, settings.group, settings.topics.events]


def test_a_worker_in_production_has_what_the_capacity_plan_gives_it(production: Rendered) -> None:
    resources = container(pods(production)["sie-worker"])["resources"]
    planned = Assumed()
    assert resources["requests"] == {"cpu": f"{planned.worker_cores:g}", "memory": f"{planned.worker_gb:g}Gi"}
    assert resources["limits"] == {"memory": resources["requests"]["memory"]}
