"""What Docker, Prometheus and Grafana read is what they take; the image is as its linter asks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose
from composed import COMPOSE, CONFIGS, SERVICES, of_the_image
from packaging.requirements import Requirement

from raysched.cluster.scheduler_actor import STATE_RESOURCE
from raysched.config import set_ray_environment

ROOT = CONFIGS.parent


def test_docker_compose_takes_the_file() -> None:
    """Every field is one of the Compose specification's, and each volume and secret is there."""
    parsed = PyCompose.from_json(json.dumps(COMPOSE))
    parsed.validate()
    assert sorted(parsed.service_names()) == ["grafana", "head", "prometheus", "worker"]


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValueError, match="restrat"):
        PyCompose.from_json(json.dumps({"services": {"head": {"image": "a", "restrat": "no"}}}))


def test_only_http_is_open_and_only_to_this_machine() -> None:
    ports = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert ports == {"head": ["127.0.0.1:8000:8000"], "worker": [], "prometheus": [], "grafana": []}
    assert not any("network_mode" in service for service in SERVICES.values())


def test_every_node_has_the_token_and_the_state_folder() -> None:
    for name in ("head", "worker"):
        service = SERVICES[name]
        assert service["secrets"] == ["ray_token"]
        assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
        assert "state:/data/raysched" in service["volumes"]
    assert STATE_RESOURCE in SERVICES["head"]["command"]
    assert STATE_RESOURCE not in SERVICES["worker"]["command"]


def test_every_service_says_whether_it_is_well() -> None:
    assert all(service["healthcheck"]["test"] for service in SERVICES.values())


def test_every_file_that_is_mounted_is_there() -> None:
    files = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./") and "/slides" not in volume  # a folder, which Docker makes
    ]
    assert len(files) > 4
    assert [name for name in files if not (CONFIGS / name).is_file()] == []


def test_prometheus_in_a_container_collects_as_the_other_does() -> None:
    """But for where the service is, the key's place, and Ray's own series for Ray's own charts."""
    alone = yaml.safe_load((CONFIGS / "prometheus.yml").read_text())
    composed = yaml.safe_load((CONFIGS / "compose" / "prometheus.yml").read_text())
    (alone_scrape,), (scrape,) = alone["scrape_configs"], composed["scrape_configs"]
    assert scrape.pop("params") == {"all": ["1"]}
    assert scrape["static_configs"] == [{"targets": ["head:8000"]}]
    name = SERVICES["prometheus"]["secrets"][0]
    assert scrape["authorization"]["credentials_file"] == f"/run/secrets/{name}"
    scrape["static_configs"] = alone_scrape["static_configs"]
    scrape["authorization"] = alone_scrape["authorization"]
    assert composed == alone


@pytest.mark.skipif(not shutil.which("promtool"), reason="Prometheus is not installed")
@pytest.mark.parametrize("folder", [CONFIGS, CONFIGS / "compose"], ids=["alone", "composed"])
def test_prometheus_takes_its_files(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "prometheus.yml", tmp_path)
    shutil.copy(CONFIGS / "alerts.yml", tmp_path)
    command = ["promtool", "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    command = ["promtool", "check", "rules", str(tmp_path / "alerts.yml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_its_numbers_and_its_dashboard() -> None:
    (source,) = yaml.safe_load((CONFIGS / "compose" / "datasource.yml").read_text())["datasources"]
    (kind, server) = (source["type"], source["url"])
    assert (kind, server) == ("prometheus", "http://prometheus:9090")
    # Ray's own dashboards ask for a source of this name
    assert source["name"] == "Prometheus"
    dashboards = yaml.safe_load((CONFIGS / "compose" / "dashboards.yml").read_text())
    (folder,) = (each["options"]["path"] for each in dashboards["providers"])
    mounted = [each.split(":")[1] for each in SERVICES["grafana"]["volumes"]]
    assert f"{folder}/raysched.json" in mounted


def test_the_linter_of_images_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [linter, CONFIGS / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_starts_ray_as_raysched_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """And idle processes stay, and nodes that hang are given up, as docs/partitions.md advises."""
    for name in list(os.environ):
        if name.startswith("RAY_"):
            monkeypatch.delenv(name)
    before = set(os.environ)
    set_ray_environment()
    own = {name: os.environ.pop(name) for name in os.environ.keys() - before}
    assert "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH" in own
    text = (ROOT / "docs" / "partitions.md").read_text()
    advised = dict(re.findall(r"(RAY_\w+)=(\w+)", text))
    assert len(advised) > 5
    image = of_the_image()
    assert image.pop("RAYSCHED_STATE") == "/data/raysched"
    assert image == {**own, **advised}


def test_the_image_has_the_locked_versions() -> None:
    """What its `sed` leaves of the lock are constraints that pip takes, one for each package."""
    program = re.search(r"sed -E '(.+)' requirements.lock", (CONFIGS / "Dockerfile").read_text())
    assert program is not None
    lock = ROOT / "requirements.lock"
    command = ["sed", "-E", program.group(1), str(lock)]
    left = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in left.splitlines() if not line.lstrip().startswith("#")]
    pinned = [str(Requirement(line).name) for line in lines]
    assert pinned == re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE)
