"""The Kubernetes manifests: core objects and pods by Kubernetes' own schema, what the autoscaler
and Serve read by Ray's own code, KubeRay's own fields by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)

from raysched.cluster.scheduler_actor import STATE_RESOURCE
from raysched.config import load_config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "kuberay"
KUBERNETES = "1.34"
SHARED = ("results", "shelf", "notes", "logs", "reviews", "uploads")
"""Folders of the settings that every node must see."""

# Nothing that can be installed here has the operator's own schema: these are the fields of its API
# ray.io/v1 (1.5), so that a misspelt one, which Kubernetes would drop in silence, is found.
CLUSTER_FIELDS = {
    *("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions"),
    *("headGroupSpec", "workerGroupSpecs", "headServiceAnnotations", "suspend", "managedBy"),
    *("gcsFaultToleranceOptions",),
}
AUTOSCALER_FIELDS = {
    *("resources", "image", "imagePullPolicy", "securityContext", "idleTimeoutSeconds"),
    *("upscalingMode", "version", "env", "envFrom", "volumeMounts"),
}
HEAD_FIELDS = {
    *("template", "headService", "enableIngress", "rayStartParams", "serviceType"),
    *("resources", "labels"),
}
WORKER_FIELDS = {
    *("template", "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams"),
    *("numOfHosts", "scaleStrategy", "idleTimeoutSeconds", "suspend", "resources", "labels"),
}
SERVICE_FIELDS = {
    *("serveConfigV2", "rayClusterConfig", "serveService", "upgradeStrategy"),
    *("excludeHeadPodFromServeSvc", "rayClusterDeletionDelaySeconds"),
}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def ray_cluster(name: str) -> dict[str, Any]:
    """The RayCluster of a manifest, also of a RayService, as Ray's autoscaler reads it."""
    (found,) = documents(name)
    spec = found["spec"] if found["kind"] == "RayCluster" else found["spec"]["rayClusterConfig"]
    return {"metadata": {"name": "raysched", "namespace": "default"}, "spec": spec}


def groups(name: str) -> list[dict[str, Any]]:
    spec = ray_cluster(name)["spec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


BOTH = pytest.mark.parametrize("name", ["raycluster.yaml", "rayservice.yaml"])


def check(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_kubernetes_takes_the_volumes_and_the_policy() -> None:
    kinds = []
    for document in documents("base.yaml"):
        check(document)
        kinds.append(document["kind"])
    assert kinds == ["PersistentVolumeClaim", "PersistentVolumeClaim", "NetworkPolicy"]


@BOTH
def test_kubernetes_takes_the_pods(name: str) -> None:
    for group in groups(name):
        template = group["template"]
        metadata = {"name": "pod", **template["metadata"]}
        check({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})


def test_a_misspelt_field_of_a_pod_is_refused() -> None:
    (container,) = groups("raycluster.yaml")[0]["template"]["spec"]["containers"]
    spec = {"containers": [{**container, "volumeMount": []}]}
    with pytest.raises(kubernetes_validate.ValidationError, match="volumeMount"):
        check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec})


@BOTH
def test_every_field_is_one_that_the_operator_knows(name: str) -> None:
    (found,) = documents(name)
    assert found["apiVersion"] == "ray.io/v1"
    spec = ray_cluster(name)["spec"]
    head, *workers = groups(name)
    assert spec.keys() <= CLUSTER_FIELDS
    assert spec["autoscalerOptions"].keys() <= AUTOSCALER_FIELDS
    assert head.keys() <= HEAD_FIELDS
    assert all(worker.keys() <= WORKER_FIELDS for worker in workers)
    if found["kind"] == "RayService":
        assert found["spec"].keys() <= SERVICE_FIELDS
        assert found["spec"]["upgradeStrategy"] == {"type": "None"}


@BOTH
def test_the_autoscaler_of_ray_reads_what_was_meant(name: str) -> None:
    config = _derive_autoscaling_config_from_ray_cr(ray_cluster(name))
    head = config["available_node_types"]["headgroup"]
    worker = config["available_node_types"]["cpu"]
    assert (head["resources"]["CPU"], head["resources"][STATE_RESOURCE]) == (0, 1)
    assert (worker["min_workers"], worker["max_workers"], worker["resources"]["CPU"]) == (1, 8, 8)
    assert STATE_RESOURCE not in worker["resources"]
    assert config["idle_timeout_minutes"] == 10


@BOTH
def test_waiting_work_asks_for_as_many_lanes_as_the_workers_may_have(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the lanes of a worker may hold no more memory than it has."""
    (limits,) = (each["template"]["spec"]["containers"] for each in groups(name)[1:])
    gib = int(limits[0]["resources"]["limits"]["memory"].removesuffix("Gi"))
    types = _derive_autoscaling_config_from_ray_cr(ray_cluster(name))["available_node_types"]
    cpus = types["cpu"]["resources"]["CPU"]
    told = [group["template"]["spec"]["containers"][0].get("env") for group in groups(name)]
    told = [env for env in told if env]
    assert len(told) == (1 if name == "raycluster.yaml" else 2)
    for env in told:
        for variable in env:
            monkeypatch.setenv(variable["name"], variable["value"])
        cluster = load_config().cluster
        assert cluster.most_lanes == types["cpu"]["max_workers"] * cpus
        assert cluster.lane_gb * 1e9 * cpus <= gib * 2**30


@BOTH
def test_ray_is_of_the_version_that_the_image_has_and_asks_for_a_token(name: str) -> None:
    spec = ray_cluster(name)["spec"]
    assert spec["rayVersion"] == ray.__version__
    assert spec["authOptions"] == {"mode": "token"}


@BOTH
def test_no_pod_is_outside_the_wall_or_more_than_a_user(name: str) -> None:
    (policy,) = (each for each in documents("base.yaml") if each["kind"] == "NetworkPolicy")
    wall = policy["spec"]["podSelector"]["matchLabels"]
    open_to_others = [
        [port["port"] for port in rule["ports"]]
        for rule in policy["spec"]["ingress"]
        if rule["from"] != [{"podSelector": {"matchLabels": wall}}]
    ]
    assert open_to_others == [[8265, 8000], [8000]]  # the operator; who ends HTTPS
    for group in groups(name):
        assert group["template"]["metadata"]["labels"] == wall
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


@BOTH
def test_every_node_sees_every_shared_folder_and_the_head_alone_the_journal(name: str) -> None:
    config = load_config(state="/data/raysched")
    wanted = {str(getattr(config, folder)) for folder in SHARED}
    claims = {each["metadata"]["name"] for each in documents("base.yaml")[:2]}
    for group in groups(name):
        (container,) = group["template"]["spec"]["containers"]
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        volumes = {each["name"]: each for each in group["template"]["spec"]["volumes"]}
        assert mounts.keys() <= {*wanted, "/data/raysched", "/dev/shm"}
        assert {path for path, volume in mounts.items() if volume == "files"} == wanted
        assert ("/data/raysched" in mounts) == ("groupName" not in group)
        for volume in set(mounts.values()) - {"shm"}:
            assert volumes[volume]["persistentVolumeClaim"]["claimName"] in claims


# Ray Serve's own models, on import
@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")
def test_serve_takes_its_part_which_is_that_of_serve_deploy() -> None:
    from ray.serve.schema import ServeDeploySchema

    (service,) = documents("rayservice.yaml")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(config)
    alone = yaml.safe_load((ROOT / "configs" / "serve.yaml").read_text())
    for application in alone["applications"]:
        assert application.pop("runtime_env") == {"env_vars": {}}
    assert config.pop("proxy_location") == "EveryNode"
    assert config["http_options"].pop("host") == "0.0.0.0"
    assert alone["http_options"].pop("host") == "127.0.0.1"
    assert config == alone


def test_what_kuberay_starts_ray_with_arrives_as_it_was_meant(tmp_path: Path) -> None:
    """Its command line is shell text with quotes in it. The head's script runs it as it is, and
    ends as it must when Ray does; a Ray that only says how it was called stands for it."""
    (tmp_path / "raysched-head").symlink_to(ROOT / "configs" / "head.sh")
    called = f"{sys.executable} -c 'import sys; print(sys.argv[1:])'"
    params = groups("raycluster.yaml")[0]["rayStartParams"]
    generated = f"{called} --head --block --resources={params['resources']}"
    for group, code in zip(groups("raycluster.yaml"), (1, 0), strict=True):
        (container,) = group["template"]["spec"]["containers"]
        done = subprocess.run(
            [*container["command"], *container["args"]],
            env={
                "PATH": f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin",
                "KUBERAY_GEN_RAY_START_CMD": generated,
                "RAY_ADDRESS": "127.0.0.1:9",  # nobody is there
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        arrived = "['--head', '--block', '--resources={\"raysched_state\": 1}']"
        assert done.stdout.strip() == arrived
