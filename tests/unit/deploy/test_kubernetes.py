"""The Kubernetes manifests are valid by Kubernetes' and KEDA's own schemas, and let a worker stop properly."""

import re
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import ValidationError

from tests.programs import KUBECTL
from tests.unit.deploy.files import DEPLOY, DIGEST, DRAIN_SECONDS, MARGIN_SECONDS, documents
from tests.unit.deploy.schemas import VERSIONS, check

KUSTOMIZATION = documents("kubernetes/kustomization.yaml")[0]
MANIFESTS = [each for name in KUSTOMIZATION["resources"] for each in documents(f"kubernetes/{name}")]
WORKLOADS = [each for each in MANIFESTS if each["kind"] in ("Deployment", "Job")]


def named(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"]["template"]["spec"])


def worker() -> dict[str, Any]:
    return next(each for each in WORKLOADS if each["metadata"]["name"] == "photochrom-worker")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=named)
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_and_keda_take_it(manifest: dict[str, Any], version: str) -> None:
    check(manifest, version)


def test_a_field_that_keda_does_not_know_is_refused() -> None:
    scaled = deepcopy(next(each for each in MANIFESTS if each["kind"] == "ScaledObject"))
    scaled["spec"]["minReplicas"] = 0

    with pytest.raises(ValidationError, match="minReplicas"):
        check(scaled, VERSIONS[-1])


def test_every_manifest_is_applied() -> None:
    others = {"kustomization.yaml"}
    assert {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - others == set(KUSTOMIZATION["resources"])


@pytest.mark.parametrize("manifest", WORKLOADS, ids=named)
def test_nothing_runs_as_root_or_takes_kubernetes_variables_for_settings(manifest: dict[str, Any]) -> None:
    pod = pod_of(manifest)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["enableServiceLinks"] is False
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} <= set(container["resources"])


def test_a_worker_pod_has_time_to_drain_a_model_time_to_load_and_one_gpu() -> None:
    pod = pod_of(worker())
    settings = next(each for each in MANIFESTS if each["kind"] == "ConfigMap")["data"]
    drain = float(settings.get("PHOTOCHROM_DRAIN_SECONDS", DRAIN_SECONDS))
    [container] = pod["containers"]
    probe = container["startupProbe"]

    assert pod["terminationGracePeriodSeconds"] >= drain + MARGIN_SECONDS
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 300
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "replicas" not in worker()["spec"]  # KEDA sets them; applying the manifest again must not undo this


def test_machines_can_be_drained_while_a_job_runs() -> None:
    budgets = {
        each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]: each["spec"]
        for each in MANIFESTS
        if each["kind"] == "PodDisruptionBudget"
    }
    for manifest in (each for each in WORKLOADS if each["kind"] == "Deployment"):
        component = manifest["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        if component == "web":
            continue  # no job depends on the web pages
        budget = budgets[component]
        assert budget.get("maxUnavailable") == 1 or budget["minAvailable"] < manifest["spec"]["replicas"]


def test_pods_connect_to_the_services_of_the_settings_and_to_no_other_port() -> None:
    [policy] = [each["spec"] for each in MANIFESTS if each["kind"] == "NetworkPolicy"]
    settings = next(each for each in MANIFESTS if each["kind"] == "ConfigMap")["data"]
    readme = (DEPLOY / "kubernetes" / "README.md").read_text("utf-8")
    urls = [settings["PHOTOCHROM_S3_ENDPOINT_URL"], *re.findall(r"='((?:postgresql|redis)://\S+)'", readme)]
    usual = {"https": 443, "postgresql": 5432}
    needed = {urlsplit(url).port or usual[urlsplit(url).scheme] for url in urls}

    assert len(needed) == 3
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 5353, *needed}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    for manifest in WORKLOADS:
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("digest", [None, DIGEST.removeprefix("@")])
def test_kustomize_names_every_image_by_its_tag_or_its_digest(digest: str | None, tmp_path: Path) -> None:
    program = KUBECTL.require()
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "kubernetes")
    kustomization = deepcopy(KUSTOMIZATION)
    [image] = kustomization["images"]
    if digest:
        del image["newTag"]
        image["digest"] = digest
    (tmp_path / "kubernetes" / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))

    command = [program, "kustomize", str(tmp_path / "kubernetes")]
    built = subprocess.run(command, capture_output=True, text=True, check=True)

    manifests = [each for each in yaml.safe_load_all(built.stdout) if each["kind"] in ("Deployment", "Job")]
    images = {container["image"] for each in manifests for container in pod_of(each)["containers"]}
    assert len(manifests) == len(WORKLOADS)
    assert images == {image["newName"] + (f"@{digest}" if digest else ":gpu")}


def test_workers_go_to_zero_and_come_back() -> None:
    scaled = next(each for each in MANIFESTS if each["kind"] == "ScaledObject")["spec"]

    assert scaled["scaleTargetRef"]["name"] == worker()["metadata"]["name"]
    assert scaled["minReplicaCount"] == 0
    assert scaled["triggers"][0]["metadata"]["activationTargetQueryValue"] == "0"
