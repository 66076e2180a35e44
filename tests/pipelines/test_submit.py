"""What the commands send to a cluster, against a server that speaks the part of Kubeflow's API that they need."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr.contracts.cluster import resolve_cluster
from support.kubeflow_api import KubeflowApi
from support.ports import free_port

ROOT = Path(__file__).parents[2]
RELEASE = ("--registry", "registry.example/ml", "--tag", "1.2.3", "--pull-policy", "Always", "--release")
FILMS = ("--data", "s3://films/all")


@pytest.fixture
def kubeflow() -> Iterator[KubeflowApi]:
    with KubeflowApi(token="good") as api:  # noqa: S106 - of the test
        yield api


def pipelines(*arguments: str, home: Path, bearer: str = "good") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines", *arguments]
    environment = {"KFP_TOKEN": bearer, "HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_run_is_started_with_the_pipeline_and_its_arguments(kubeflow: KubeflowApi, tmp_path: Path) -> None:
    done = pipelines(
        "submit", *FILMS, "--host", kubeflow.url, "--set", "loss.gamma=1.5", "--promote", *RELEASE,
        "--run-name", "nightly", "--kubeflow-experiment", "films", "--service-account", "trainer",
        "--tracking-uri", "http://mlflow:5000", "--gpus", "4", "--no-cache",
        "--cluster", "{claim: films}", home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{kubeflow.url}/#/runs/details/runs-1\n"
    (experiment,), (run,) = kubeflow.kept["experiments"], kubeflow.kept["runs"]
    assert experiment["display_name"] == "films"
    assert (run["display_name"], run["experiment_id"], run["service_account"]) == (
        "nightly",
        "experiments-1",
        "trainer",
    )
    parameters = run["runtime_config"]["parameters"]
    assert (parameters["data"], parameters["promote"], parameters["gpus"]) == ("s3://films/all", True, "4")
    assert parameters["tracking_uri"] == "http://mlflow:5000"
    assert json.loads(parameters["recipe"])["loss"]["gamma"] == 1.5
    cluster = json.loads(parameters["cluster"])
    assert (cluster["image"], cluster["claim"]) == ("registry.example/ml/pipeline:1.2.3", "films")
    spec = run["pipeline_spec"]["pipeline_spec"]
    assert set(re.findall(r"'image': '([^']+)'", str(spec))) == {"registry.example/ml/pipeline:1.2.3"}
    assert "enableCache" not in str(spec)
    platform = str(run["pipeline_spec"]["platform_spec"])
    assert "tolerations" in platform
    assert set(re.findall(r"'imagePullPolicy': '([^']+)'", platform)) == {"Always"}
    declared = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) <= set(declared)
    assert {name for name, found in declared.items() if not found.get("isOptional")} <= set(parameters)


@pytest.mark.parametrize("tag", ["latest", "main", "1.2", "1", "1.2.3.dev4", "1.2.3-dirty", "1.2.3_local", "v1"])
def test_a_release_refuses_a_tag_that_names_none(tag: str, tmp_path: Path) -> None:
    done = pipelines("compile", "--out", str(tmp_path / "out"), "--tag", tag, "--release", home=tmp_path)
    assert done.returncode == 1
    assert (
        f"the tag of a release must be a whole version such as 1.2.3, or a digest sha256:…, is '{tag}'" in done.stderr
    )
    assert not (tmp_path / "out").exists()


def test_what_was_not_said_has_the_pipeline_s_default(kubeflow: KubeflowApi, tmp_path: Path) -> None:
    done = pipelines("submit", "--pipeline", "retraining", *FILMS, "--host", kubeflow.url, home=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = kubeflow.kept["runs"]
    assert "promote" not in run["runtime_config"]["parameters"]
    spec = run["pipeline_spec"]["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "retraining"
    assert spec["root"]["inputDefinitions"]["parameters"]["promote"]["defaultValue"] is True


def test_a_wrong_token_is_refused_in_one_line(kubeflow: KubeflowApi, tmp_path: Path) -> None:
    done = pipelines("submit", *FILMS, "--host", kubeflow.url, home=tmp_path, bearer="wrong")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "refuses: 401 Unauthorized; give a valid --token" in done.stderr
    assert "wrong" not in done.stderr


def test_an_address_where_nothing_answers_is_said_at_once(tmp_path: Path) -> None:
    host = f"http://127.0.0.1:{free_port()}"
    done = pipelines("submit", *FILMS, "--host", host, home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"must answer at {host}, does not" in done.stderr


def test_both_pipelines_are_uploaded_once(kubeflow: KubeflowApi, tmp_path: Path) -> None:
    first = pipelines("upload", "--host", kubeflow.url, *RELEASE, home=tmp_path)
    assert first.returncode == 0, first.stderr
    assert [one["display_name"] for one in kubeflow.kept["pipelines"]] == ["training", "retraining"]
    assert [one["display_name"] for one in kubeflow.kept["versions"]] == ["1.2.3", "1.2.3"]
    again = pipelines("upload", "--host", kubeflow.url, *RELEASE, home=tmp_path)
    assert again.stdout == first.stdout
    assert len(kubeflow.kept["versions"]) == 2
    other = pipelines(
        "upload", "--host", kubeflow.url, "--tag", "1.2.4", "--version-name", "1.2.3", "--pipeline", "training",
        home=tmp_path,
    )  # fmt: skip
    assert other.returncode == 1
    assert "1.2.3 of training is there and differs; give another --version-name" in other.stderr


def test_runs_of_what_was_uploaded_have_its_image_for_all_their_pods(kubeflow: KubeflowApi, tmp_path: Path) -> None:
    done = pipelines("upload", "--host", kubeflow.url, *RELEASE, "--cluster", "training: {nodes: 3}", home=tmp_path)
    assert done.returncode == 0, done.stderr
    for version in kubeflow.kept["versions"]:
        spec = version["pipeline_spec"]["pipeline_spec"]
        given = spec["root"]["inputDefinitions"]["parameters"]["cluster"]["defaultValue"]
        images = {one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()}
        assert {resolve_cluster(given).image} == images
        assert resolve_cluster(given).training.nodes == 3


def test_a_schedule_takes_the_place_of_the_one_before(kubeflow: KubeflowApi, tmp_path: Path) -> None:
    def schedule(*arguments: str) -> str:
        done = pipelines("schedule", *FILMS, "--host", kubeflow.url, *arguments, home=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = schedule()
    (made,) = kubeflow.kept["recurringruns"]
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 3 1 * *"
    assert (made["max_concurrency"], made["no_catchup"], made["mode"]) == (1, True, "ENABLE")
    assert made["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "retraining"
    assert made["runtime_config"]["parameters"]["data"] == "s3://films/all"
    assert schedule() == first
    assert schedule("--cron", "0 30 2 * * 0") != first
    (made,) = kubeflow.kept["recurringruns"]
    assert made["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * 0"
    schedule("--name", "another")
    assert len(kubeflow.kept["recurringruns"]) == 2


@pytest.mark.parametrize("cron", ["0 3 1 * *", "monthly", "0 0 3 1 * * *", "0 0 3 1 * ;"])
def test_a_cron_of_another_make_is_refused(cron: str, tmp_path: Path) -> None:
    done = pipelines("schedule", *FILMS, "--host", "http://localhost:1", "--cron", cron, home=tmp_path)
    assert done.returncode == 1
    assert "--cron must have six fields, second minute hour day month weekday" in done.stderr
