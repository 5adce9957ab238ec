"""The files for Kubernetes fit each other and the gateway: times, names, ports, users, metric, settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from llmitm.config.load import load
from llmitm.config.watch import Source
from support.gateway import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
PAGE = ROOT / "docs" / "kubernetes.md"
_METRIC = "llmitm_in_flight_requests"
_WRITING_S = 12
"""What a gateway may take to write what it kept, once nothing is under way."""


def read(name: str) -> Any:
    return YAML(typ="safe").load((FOLDER / name).read_text())


@pytest.fixture(scope="module")
def pod() -> Any:
    return read("deployment.yaml")["spec"]["template"]


@pytest.fixture(scope="module")
def gateway(pod: Any) -> Any:
    return pod["spec"]["containers"][0]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder like that of the Secret, with what the page says belongs there."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, value in re.findall(r"--from-literal=([a-z-]+)=\"?([^\s\"]+)", PAGE.read_text()):
        (folder / name).write_text(value)
    return folder


def config_with(secrets: Path, folder: Path) -> Path:
    path = folder / "config.toml"
    path.write_text((FOLDER / "config.toml").read_text().replace("/secrets/", f"{secrets}/"))
    return path


def test_the_page_makes_every_key_that_the_configuration_names(secrets: Path, tmp_path: Path) -> None:
    named = set(re.findall(r"file:/secrets/([a-z-]+)", (FOLDER / "config.toml").read_text()))
    assert named == {one.name for one in secrets.iterdir()}
    config = load(config_with(secrets, tmp_path), env={})
    assert config.state.url.reveal().startswith("redis://") and config.auth_keys
    assert config.ledger.url is not None and config.ledger.url.reveal().startswith("postgresql://")
    assert not config.server.is_loopback and config.server.trusted_proxies


def test_a_pod_is_given_the_time_that_it_needs_to_stop(
    pod: Any, gateway: Any, secrets: Path, tmp_path: Path
) -> None:
    server = load(config_with(secrets, tmp_path), env={}).server
    before_s = gateway["lifecycle"]["preStop"]["sleep"]["seconds"]
    probe = gateway["readinessProbe"]
    needed_s = before_s + server.shutdown_timeout_s + _WRITING_S
    assert needed_s < pod["spec"]["terminationGracePeriodSeconds"] < needed_s + 60
    assert before_s >= probe["periodSeconds"] * probe["failureThreshold"]


def test_names_and_ports_are_those_of_each_other_and_of_the_gateway(
    pod: Any, gateway: Any, secrets: Path, tmp_path: Path
) -> None:
    labels = pod["metadata"]["labels"]
    port = gateway["ports"][0]
    service, policy = read("service.yaml")["spec"], read("network.yaml")["spec"]
    for selector in (
        read("deployment.yaml")["spec"]["selector"]["matchLabels"],
        service["selector"],
        read("disruption.yaml")["spec"]["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
    ):
        assert selector == labels
    assert port["containerPort"] == load(config_with(secrets, tmp_path), env={}).server.port
    assert service["ports"][0]["targetPort"] == port["name"] == policy["ingress"][0]["ports"][0]["port"]
    assert {gateway[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness")} == {"/health"}
    assert gateway["readinessProbe"]["httpGet"] == {"path": "/ready", "port": port["name"]}
    mounted = {one["name"] for one in gateway["volumeMounts"]}
    assert mounted == {one["name"] for one in pod["spec"]["volumes"]}
    listed = set(read("kustomization.yaml")["resources"])
    assert listed == {path.name for path in FOLDER.glob("*.yaml")} - {
        "kustomization.yaml",
        "prometheus-adapter.yaml",
        "keda.yaml",
    }


def test_nothing_can_be_gained_in_a_pod(pod: Any) -> None:
    user = re.search(r"USER (\d+):(\d+)", (ROOT / "Dockerfile").read_text())
    own = pod["spec"]["securityContext"]
    assert user is not None
    assert [str(own[name]) for name in ("runAsUser", "runAsGroup", "fsGroup")] == [user[1], user[2], user[2]]
    assert own["runAsNonRoot"] and pod["spec"]["automountServiceAccountToken"] is False
    for one in (*pod["spec"]["containers"], *pod["spec"]["initContainers"]):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_metric_that_scales_is_told_by_the_gateway() -> None:
    assert f'"{_METRIC}"' in (ROOT / "addons" / "llmitm" / "measured.py").read_text()
    asked = read("autoscaler.yaml")["spec"]["metrics"][0]["pods"]
    keda = read("keda.yaml")["spec"]["triggers"][0]["metadata"]
    assert asked["metric"]["name"] == _METRIC and keda["threshold"] == asked["target"]["averageValue"]
    assert _METRIC in keda["query"]
    assert _METRIC in read("prometheus-adapter.yaml")["rules"]["custom"][0]["seriesQuery"]


def test_a_changed_configmap_and_a_changed_secret_are_seen(secrets: Path, tmp_path: Path) -> None:
    """As they come into a pod: folders behind a link, which is switched over."""
    mount, data = tmp_path / "config", tmp_path / "data"
    for folder in (mount / "..1", mount / "..2", data):
        folder.mkdir(parents=True)
    text = config_with(secrets, mount / "..1").read_text()
    (mount / "..2" / "config.toml").write_text(text.replace('name = "first"', 'name = "renamed"'))
    (mount / "..data").symlink_to("..1")
    (mount / "config.toml").symlink_to("..data/config.toml")
    (data / "config.toml").symlink_to(mount / "config.toml")
    source = Source(data / "config.toml", env={})
    assert source.read().auth_keys[0].name == "first" and not source.is_changed()
    (mount / "..new").symlink_to("..2")
    (mount / "..new").rename(mount / "..data")
    assert source.is_changed() and source.read().auth_keys[0].name == "renamed"
    (secrets / "client-key").write_text("sk-proxy-another-one")
    assert source.is_changed()
    assert source.path.parent == data, "what is kept lies beside the link"


def test_the_schema_of_kubernetes_accepts_it() -> None:
    """Where the package with the schemas is there (`kubernetes-validate`): it is not needed otherwise."""
    validate = pytest.importorskip("kubernetes_validate").validate
    for name in read("kustomization.yaml")["resources"]:
        validate(read(name), "1.30", strict=True)
