"""The files for clusters: what Ray's launcher and Kubernetes would refuse, and whether their commands exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_support import Toolkit

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]
SOURCES = Path(__file__).parents[2]
EXAMPLES = SOURCES / "engines" / "ray" / "examples"
LAUNCHER, JOB, IMAGE = (
    EXAMPLES / "ssh-cluster.yaml",
    EXAMPLES / "kubernetes-job.yaml",
    EXAMPLES / "Dockerfile",
)
#: The fields that KubeRay 1.1 has, and those of Kubernetes that the file uses. Source: the types of ray.io/v1.
FIELDS = {
    "RayJob": {"apiVersion", "kind", "metadata", "spec"},
    "RayJobSpec": {
        "activeDeadlineSeconds", "backoffLimit", "clusterSelector", "entrypoint", "entrypointNumCpus", "jobId",
        "metadata", "rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode",
        "submitterPodTemplate", "suspend", "ttlSecondsAfterFinished",
    },
    "RayClusterSpec": {
        "autoscalerOptions", "enableInTreeAutoscaling", "headGroupSpec", "rayVersion", "suspend", "workerGroupSpecs",
    },
    "HeadGroupSpec": {"enableIngress", "headService", "rayStartParams", "serviceType", "template"},
    "WorkerGroupSpec": {
        "groupName", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams", "replicas", "template",
    },
    "PodTemplate": {"metadata", "spec"},
    "PodSpec": {"containers", "nodeSelector", "volumes"},
    "Container": {"image", "name", "ports", "resources", "volumeMounts"},
}  # fmt: skip


def _read(path: Path) -> Any:
    import yaml

    return yaml.safe_load(path.read_text("utf-8"))


def _check(kind: str, found: dict[str, Any]) -> None:
    assert set(found) <= FIELDS[kind], f"{kind} has no {set(found) - FIELDS[kind]}"


def _pods(job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """The specification of each kind of pod, and how many there are."""
    cluster = job["spec"]["rayClusterSpec"]
    yield cluster["headGroupSpec"]["template"]["spec"], 1
    for group in cluster["workerGroupSpecs"]:
        yield group["template"]["spec"], group["replicas"]


def _toolkit_commands(path: Path) -> list[list[str]]:
    """The commands of the toolkit in a file, comments included."""
    text = path.read_text("utf-8")
    return [shlex.split(found[1]) for found in re.finditer(r"toolkit (train [^\n']*)", text)]


def test_the_launcher_takes_its_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = _read(LAUNCHER)
    validate_config(prepare_config(config))
    broken = prepare_config({**_read(LAUNCHER), "hed_ip": "10.0.0.9"})
    with pytest.raises(Exception, match="hed_ip"):  # Ray raises jsonschema's
        validate_config(broken)
    assert config["min_workers"] == config["max_workers"] == len(config["provider"]["worker_ips"])


def test_rays_own_commands_have_the_options_that_the_launcher_gives() -> None:
    from ray.scripts.scripts import cli

    config = _read(LAUNCHER)
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    comments = [line.removeprefix("#").strip() for line in LAUNCHER.read_text("utf-8").splitlines()]
    called = [shlex.split(part.strip()) for line in commands for part in line.split(";")]
    called += [shlex.split(line) for line in comments if line.startswith("ray ")]
    of_ray = [words[1:] for words in called if words[0].rpartition("/")[2] == "ray"]
    assert len(of_ray) == 9
    for name, *words in of_ray:
        known = _options(cli.commands[name])
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known, f"ray {name} has no {given - known}"


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_kubernetes_and_its_operator_know_every_field() -> None:
    job = _read(JOB)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    _check("RayJob", job)
    _check("RayJobSpec", job["spec"])
    cluster = job["spec"]["rayClusterSpec"]
    _check("RayClusterSpec", cluster)
    _check("HeadGroupSpec", cluster["headGroupSpec"])
    for group in cluster["workerGroupSpecs"]:
        _check("WorkerGroupSpec", group)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        _check("PodTemplate", group["template"])
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    for pod, _ in _pods(job):
        _check("PodSpec", pod)
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            _check("Container", container)
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    assert len({str(pod["nodeSelector"]) for pod, _ in _pods(job)}) == 1  # one kind of processor


def test_the_job_asks_for_as_many_processors_as_it_has_workers() -> None:
    job = _read(JOB)
    pods = list(_pods(job))[1:]
    processors = sum(
        int(container["resources"]["requests"]["cpu"]) * count
        for pod, count in pods
        for container in pod["containers"]
    )
    assert re.search(r"--workers (\d+)", job["spec"]["entrypoint"]) is not None
    assert f"--workers {processors} " in job["spec"]["entrypoint"]


@pytest.mark.parametrize("path", [LAUNCHER, JOB], ids=lambda path: path.name)
def test_the_toolkits_commands_exist(path: Path, toolkit: Toolkit) -> None:
    commands = _toolkit_commands(path)
    assert commands
    helped = toolkit.ok("train", "--help").out
    for command in commands:
        for option in (word for word in command if word.startswith("--")):
            assert re.search(rf"{option}\b", helped), option


def test_one_version_of_ray_everywhere_and_folders_that_exist() -> None:
    image = IMAGE.read_text("utf-8")
    versions = {
        *re.findall(r"ray:(\d+\.\d+\.\d+)-py311", image),
        *re.findall(r"ray\[default\]==(\d+\.\d+\.\d+)", LAUNCHER.read_text("utf-8")),
        str(_read(JOB)["spec"]["rayClusterSpec"]["rayVersion"]),
    }
    assert len(versions) == 1
    (install,) = re.findall(r"pip install --no-cache-dir ([^&]+)", image)
    for folder in install.split():
        assert (SOURCES / Path(folder).relative_to("/tmp/charkit") / "pyproject.toml").is_file()  # noqa: S108
