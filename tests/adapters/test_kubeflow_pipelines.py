"""Kubeflow Pipelines' API, against a server that keeps what it is given."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cxr.adapters.kubeflow_pipelines import connect
from cxr.adapters.kubeflow_runs import Endpoint, Submission
from cxr.errors import PipelineError
from support.kubeflow_api import KubeflowApi

PACKAGE = yaml.safe_dump_all(
    [
        {
            "pipelineInfo": {"name": "small"},
            "root": {
                "inputDefinitions": {
                    "parameters": {
                        "data": {"parameterType": "STRING"},
                        "promote": {"parameterType": "BOOLEAN", "isOptional": True, "defaultValue": False},
                    }
                },
                "dag": {"tasks": {}},
            },
        },
        {"platforms": {"kubernetes": {}}},
    ]
)


@pytest.fixture
def api() -> Iterator[KubeflowApi]:
    with KubeflowApi() as server:
        yield server


@pytest.fixture
def endpoint(api: KubeflowApi) -> Endpoint:
    return Endpoint(host=api.url)


def submission(**changes: Any) -> Submission:
    return Submission(**{"package": PACKAGE, "arguments": {"data": "a"}, "name": "n", "experiment": "e"} | changes)


def test_an_endpoint_is_https_and_hides_its_token() -> None:
    endpoint = Endpoint(host="kubeflow.example/pipeline/", token="very secret")  # noqa: S106
    assert endpoint.address == "https://kubeflow.example/pipeline"
    assert "secret" not in repr(endpoint)


def test_a_token_that_changes_is_read_at_every_connection(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with KubeflowApi(token="new") as api:  # noqa: S106
        endpoint = Endpoint(host=api.url, token_file=token)
        with pytest.raises(PipelineError, match=r"token must be a readable file"), connect(endpoint):
            pass
        token.write_text("old")
        with pytest.raises(PipelineError, match="401"), connect(endpoint):
            pass
        token.write_text("new\n")
        with connect(endpoint) as kubeflow:
            assert kubeflow.runs("e") == ()


def test_runs_are_the_newest_first_and_of_one_experiment(api: KubeflowApi, endpoint: Endpoint) -> None:
    with connect(endpoint) as kubeflow:
        first = kubeflow.submit(submission(name="first"))
        api.end(created=datetime.now(UTC) - timedelta(days=1))
        kubeflow.submit(submission(name="elsewhere", experiment="other"))
        second = kubeflow.submit(submission(name="second"))
        runs = kubeflow.runs("e")
    assert [(run.run_id, run.name, run.ended) for run in runs] == [(second, "second", False), (first, "first", True)]
    assert runs[0].created - runs[1].created > timedelta(hours=23)


@pytest.mark.parametrize(
    ("state", "ended"),
    [("PENDING", False), ("RUNNING", False), ("PAUSED", False), ("CANCELING", False),
     ("SUCCEEDED", True), ("FAILED", True), ("CANCELED", True), ("SKIPPED", True)],
)  # fmt: skip
def test_a_run_has_ended_when_it_cannot_change_any_more(
    api: KubeflowApi, endpoint: Endpoint, state: str, ended: bool
) -> None:
    with connect(endpoint) as kubeflow:
        kubeflow.submit(submission())
        api.end(state=state)
        (run,) = kubeflow.runs("e")
    assert run.ended is ended


def test_an_uploaded_pipeline_is_started_by_its_newest_version(api: KubeflowApi, endpoint: Endpoint) -> None:
    with connect(endpoint) as kubeflow:
        assert kubeflow.version("small") is None
        old = kubeflow.upload(PACKAGE, pipeline="small", version="1")
        new = kubeflow.upload(PACKAGE.replace("STRING", "STRING  "), pipeline="small", version="2")
        assert kubeflow.version("small") == new
        assert kubeflow.version("small", "1") == old
        assert kubeflow.version("small", "3") is None
        assert new.parameters == {"data": True, "promote": False}
        kubeflow.start(new, name="n", experiment="e", arguments={"data": "a"})
    (run,) = api.kept["runs"]
    assert run["pipeline_version_reference"]["pipeline_version_id"] == new.version_id
    assert run["runtime_config"]["parameters"] == {"data": "a"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"data": "a", "dta": "b"}, r"an argument must be one of the pipeline's \(data, promote\), is dta"),
        ({"promote": True}, "data must be given to the pipeline small"),
    ],
)
def test_arguments_that_the_pipeline_has_not_are_refused_before_anything_starts(
    api: KubeflowApi, endpoint: Endpoint, arguments: dict[str, Any], said: str
) -> None:
    with connect(endpoint) as kubeflow:
        version = kubeflow.upload(PACKAGE, pipeline="small", version="1")
        with pytest.raises(PipelineError, match=said):
            kubeflow.start(version, name="n", experiment="e", arguments=arguments)
    assert api.kept["runs"] == []


def test_a_schedule_that_was_killed_half_way_is_mended_by_the_next(api: KubeflowApi, endpoint: Endpoint) -> None:
    with connect(endpoint) as kubeflow:
        old = kubeflow.schedule(submission(), cron="0 0 3 1 * *")
        copy = {name: value for name, value in api.kept["recurringruns"][0].items() if name != "recurring_run_id"}
        api.create("recurringruns", {**copy, "description": "of an older release"})
        assert kubeflow.schedule(submission(), cron="0 0 3 1 * *") == old
        assert [one["recurring_run_id"] for one in api.kept["recurringruns"]] == [old]
        api.kept["recurringruns"][0]["mode"] = "DISABLE"
        assert kubeflow.schedule(submission(), cron="0 0 3 1 * *") != old, "one that was switched off is made anew"
        assert len(api.kept["recurringruns"]) == 1


@pytest.mark.parametrize("change", [{"arguments": {"data": "b"}}, {"service_account": "s"}, {"cached": False}])
def test_whatever_a_schedule_depends_on_changes_it(
    api: KubeflowApi, endpoint: Endpoint, change: dict[str, Any]
) -> None:
    with connect(endpoint) as kubeflow:
        old = kubeflow.schedule(submission(), cron="0 0 3 1 * *")
        assert kubeflow.schedule(submission(**change), cron="0 0 3 1 * *") != old
    assert len(api.kept["recurringruns"]) == 1


def test_an_error_of_the_server_is_said_with_its_words(api: KubeflowApi, endpoint: Endpoint) -> None:
    api.failing = [500]
    with pytest.raises(PipelineError, match=r"refuses: 500 .*not now"), connect(endpoint) as kubeflow:
        kubeflow.runs("e")
