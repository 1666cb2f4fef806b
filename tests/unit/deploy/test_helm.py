"""The chart, rendered by Helm's own engine, is valid for four versions of Kubernetes and matches the manifests."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.files import DEPLOY, DIGEST, DRAIN_SECONDS, MARGIN_SECONDS, documents
from tests.unit.deploy.schemas import VERSIONS, check

helm = pytest.importorskip("helm_python", reason="no helm-python-sdk for this machine")

CHART = DEPLOY / "helm" / "photochrom"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="photochrom", namespace="photochrom")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


def rendered(path: Path) -> list[dict[str, Any]]:
    return render(yaml.safe_load(path.read_text("utf-8")))


def component(manifest: dict[str, Any]) -> tuple[str, str]:
    """A manifest's kind and process; the plain manifests name the process only in their selectors and pods."""
    spec = manifest.get("spec", {})
    labels = spec.get("template", {}).get("metadata", {}).get("labels") or spec.get("selector", {}).get(
        "matchLabels", {}
    )
    return manifest["kind"], str(labels.get("app.kubernetes.io/component"))


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"]["template"]["spec"])


def test_helm_lint_finds_nothing() -> None:
    for path in VALUES:
        report = helm.lint(CHART, yaml.safe_load(path.read_text("utf-8")), strict=True, kube_version="v1.34.0")
        assert report["errors"] == []
        assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_every_version_of_kubernetes_takes_it(path: Path, version: str) -> None:
    manifests = rendered(path)
    assert len(manifests) >= 5
    for manifest in manifests:
        check(manifest, version)


def comparable(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest's spec without the parts that only the chart or only the manifests have, such as device names."""
    spec = deepcopy(manifest["spec"])
    text = yaml.safe_dump(spec).replace("photochrom-worker-gpu", "photochrom-worker")
    spec = yaml.safe_load(text.replace("registry.example.org/photochrom:gpu", "photochrom"))
    _drop(spec, {"app.kubernetes.io/instance", "photochrom/device", "checksum/settings", "imagePullPolicy"})
    return dict(spec)


def _drop(value: Any, names: set[str]) -> None:
    for name in names & set(value) if isinstance(value, dict) else ():
        del value[name]
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _drop(part, names)


def test_it_asks_for_what_the_manifests_ask_for() -> None:
    names = documents("kubernetes/kustomization.yaml")[0]["resources"]
    plain = [manifest for name in names for manifest in documents(f"kubernetes/{name}") if "spec" in manifest]
    chart = [manifest for manifest in render({}) if "spec" in manifest]
    assert len(plain) == len(chart)
    for manifest in plain:
        if manifest["kind"] in ("TriggerAuthentication", "ScaledObject"):
            [same] = [other for other in chart if other["kind"] == manifest["kind"]]
        else:
            [same] = [other for other in chart if component(other) == component(manifest)]
        assert comparable(same) == comparable(manifest)


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_every_pod_is_locked_up_and_a_worker_has_time_to_drain(path: Path) -> None:
    for manifest in (each for each in rendered(path) if each["kind"] in ("Deployment", "Job")):
        pod = pod_of(manifest)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
        if component(manifest)[1] == "worker":
            assert pod["terminationGracePeriodSeconds"] >= DRAIN_SECONDS + MARGIN_SECONDS


def test_each_device_has_its_own_image_machines_and_scaling() -> None:
    manifests = rendered(CHART / "ci" / "devices-values.yaml")
    workers = {
        each["metadata"]["name"]: pod_of(each) for each in manifests if component(each) == ("Deployment", "worker")
    }
    cpu, gpu = workers["photochrom-worker-cpu"], workers["photochrom-worker-gpu"]

    assert cpu["containers"][0]["image"] == "registry.example.org/photochrom:cpu"
    assert "@sha256:" in gpu["containers"][0]["image"]
    assert "nvidia.com/gpu" not in cpu["containers"][0]["resources"]["limits"]
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert cpu["nodeSelector"] == {"pool": "spot"}
    assert len([each for each in manifests if each["kind"] == "ScaledObject"]) == 2


def test_a_digest_pins_the_image_of_every_pod() -> None:
    manifests = render({"image": {"repository": "registry.example.org/archive", "digest": DIGEST.removeprefix("@")}})
    pods = [pod_of(each) for each in manifests if each["kind"] in ("Deployment", "Job")]

    images = {container["image"] for pod in pods for container in pod["containers"]}
    assert len(pods) == 4
    assert images == {f"registry.example.org/archive{DIGEST}"}


def egress(values: dict[str, Any]) -> list[dict[str, Any]]:
    [policy] = [each for each in render(values) if each["kind"] == "NetworkPolicy"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    return list(policy["spec"]["egress"])


def test_pods_connect_only_to_the_services_that_are_named() -> None:
    peer = [{"ipBlock": {"cidr": "10.1.2.3/32"}}]
    rules = egress({"networkPolicy": {"egress": {"database": {"ports": [5432, 6432], "to": peer}}}})

    assert {"ports": [{"port": port, "protocol": "TCP"} for port in (5432, 6432)], "to": peer} in rules
    ports = sorted(port["port"] for rule in rules for port in rule["ports"])
    assert ports == [53, 53, 443, 5353, 5353, 5432, 6379, 6432]  # 53 and 5353 by UDP and TCP


def test_the_pages_are_open_to_others_only_with_an_ingress() -> None:
    """An ingress controller may be no pod, so without names everybody is let in: no `from`."""

    def peers(values: dict[str, Any]) -> list[dict[str, Any]] | None:
        [policy] = [each for each in render(values) if each["kind"] == "NetworkPolicy"]
        [pages] = [rule for rule in policy["spec"]["ingress"] if rule["ports"][0]["port"] == "http"]
        allowed: list[dict[str, Any]] | None = pages.get("from")
        return allowed

    controller = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    ingress = {"ingress": {"enabled": True}}
    assert peers({}) == [{"podSelector": {}}]
    assert peers({"web": ingress}) is None
    assert peers({"web": ingress, "networkPolicy": {"webFrom": controller}}) == [{"podSelector": {}}, *controller]


def test_workers_and_the_migration_may_have_secrets_of_their_own() -> None:
    secrets = {"migrate": {"existingSecret": "owner"}, "workers": {"gpu": {"existingSecret": "worker"}}}
    used = {
        component(each)[1]: pod_of(each)["containers"][0]["envFrom"][1]["secretRef"]["name"]
        for each in render(secrets)
        if each["kind"] in ("Deployment", "Job")
    }

    assert used == {
        "migrate": "owner",
        "scheduler": "photochrom-secrets",
        "web": "photochrom-secrets",
        "worker": "worker",
    }


def test_without_keda_there_are_as_many_workers_as_are_asked_for() -> None:
    manifests = rendered(CHART / "ci" / "plain-values.yaml")
    [worker] = [each for each in manifests if component(each) == ("Deployment", "worker")]

    assert worker["spec"]["replicas"] == 2
    assert not [each for each in manifests if each["apiVersion"].startswith("keda.sh")]


def test_a_mistyped_value_is_refused() -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"imagee": {}},
        {"image": {"digest": "latest"}},
        {"settings": {"photochrom_log": "x"}},
        {"networkPolicy": {"egress": {"databse": {"ports": [5432]}}}},
    )
    for values in wrong:
        with pytest.raises(helm.HelmError):
            render(values)
