"""The client against an HTTP API that keeps objects and streams watches: how requests flow, not what Katib accepts."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from kubernetes import client

from cxr.adapters.katib import COLLECTOR, Katib
from cxr.adapters.katib_experiment import render_experiment
from cxr.adapters.katib_report import read_report
from cxr.adapters.katib_trial import CONTAINER
from cxr.contracts.cluster import Cluster, SharedFilms
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.search_report import SearchReport
from cxr.errors import ClusterError, SearchError
from support.cluster_stand_in import NAMESPACE, connected

RECIPE = with_values(
    Recipe(),
    {
        "search.trials": 4,
        "search.parameters": [
            {"field": "loss.gamma", "kind": "double", "minimum": 0.5, "maximum": 3.0},
            {"field": "schedule.batch_size", "kind": "categorical", "choices": [16, 32]},
        ],
    },
)
CLUSTER = Cluster(namespace=NAMESPACE)
FILMS = SharedFilms(studies="shared", split="shared/split-1")
MANIFEST = render_experiment(RECIPE, CLUSTER, FILMS, index="a" * 64)
NAME = MANIFEST["metadata"]["name"]
SUCCEEDED = [{"type": "Running", "status": "False"}, {"type": "Succeeded", "status": "True"}]
RUNNING = [{"type": "Running", "status": "True"}]
OPTIMAL = {
    "bestTrialName": "t-b",
    "observation": {"metrics": [{"name": "validation_macro_auroc", "max": "0.91", "min": "0.5", "latest": "0.9"}]},
    "parameterAssignments": [{"name": "loss.gamma", "value": "1.25"}, {"name": "schedule.batch_size", "value": "32"}],
}


@pytest.fixture
def stand_in():
    with connected() as (cluster, api):
        yield cluster, Katib(api, NAMESPACE, pause=0.01)


@pytest.fixture
def cluster(stand_in):
    return stand_in[0]


@pytest.fixture
def katib(stand_in):
    return stand_in[1]


def fill(cluster):
    """Four trials: one of each end, the best one second."""
    low, high = {"loss.gamma": "0.75", "schedule.batch_size": "16"}, {"loss.gamma": "1.25", "schedule.batch_size": "32"}
    cluster.add_trial(NAME, "t-a", "Succeeded", low, "0.88", minute=1)
    cluster.add_trial(NAME, "t-b", "Succeeded", high, "0.91", minute=2)
    cluster.add_trial(NAME, "t-c", "EarlyStopped", low, "0.95", minute=3)
    cluster.add_trial(NAME, "t-d", "Failed", low, minute=4, message="Trial has failed")
    cluster.add_trial("another", "u-a", "Succeeded", high, "0.99")


def run(katib, seconds=20.0):
    katib.create(MANIFEST)
    katib.wait(NAME, planned=4, timeout_seconds=seconds)
    return read_report(katib.trials(NAME), RECIPE, index="a" * 64, films=1200)


def test_a_search_is_created_watched_and_read_back(cluster, katib):
    fill(cluster)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, katib)
        cluster.until(lambda: cluster.watches == 1)
        cluster.became(NAME, conditions=RUNNING, trials=1, trialsRunning=1)
        cluster.became(NAME, conditions=SUCCEEDED, trials=4, trialsSucceeded=2, currentOptimalTrial=OPTIMAL)
        report = running.result(20)
    assert isinstance(report, SearchReport)
    assert [(t.number, t.state, t.value) for t in report.trials] == [
        (1, "complete", 0.88),
        (2, "complete", 0.91),
        (3, "pruned", 0.95),
        (4, "failed", None),
    ]
    assert report.kept.parameters == {"loss.gamma": 1.25, "schedule.batch_size": 32}
    assert report.kept.seconds == 90
    assert report.trials[3].reason == "Trial has failed"
    assert (report.planned, report.films, report.index) == (4, 1200, "a" * 64)
    assert with_values(RECIPE, report.kept.parameters).schedule.batch_size == 32
    (created,) = [body for method, _, _, body in cluster.requests if method == "POST"]
    assert created == MANIFEST


def test_a_search_that_is_there_is_joined(cluster, katib):
    fill(cluster)
    identity = katib.create(MANIFEST)
    cluster.became(NAME, conditions=SUCCEEDED, currentOptimalTrial=OPTIMAL)
    assert run(katib).best == 2
    assert katib.create(MANIFEST) == identity
    katib.delete(NAME)
    assert katib.create(MANIFEST) != identity, "another one of the same name"


def test_another_search_of_the_name_is_not_joined(cluster, katib):
    katib.create(MANIFEST)
    other = render_experiment(RECIPE, CLUSTER, FILMS, index="b" * 64)
    other["metadata"]["name"] = NAME
    with pytest.raises(SearchError, match="belongs to another one"):
        katib.create(other)
    assert cluster.experiments[NAME]["metadata"]["annotations"] == MANIFEST["metadata"]["annotations"]


def test_a_search_that_is_being_deleted_is_waited_for_and_made_anew(cluster, katib):
    first = katib.create(MANIFEST)
    cluster.experiments[NAME]["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    gone = threading.Timer(0.2, cluster.vanish, (NAME,))
    gone.start()
    assert katib.create(MANIFEST) != first
    gone.join()
    assert "deletionTimestamp" not in cluster.experiments[NAME]["metadata"]


def test_a_watch_whose_version_is_gone_begins_again(cluster, katib):
    katib.create(MANIFEST)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(katib.wait, NAME, planned=4, timeout_seconds=20)
        cluster.until(lambda: cluster.watches == 1)
        cluster.forget()  # 410: and what happens now is in no watch of the old version
        cluster.until(lambda: cluster.expired >= 1)
        cluster.became(NAME, conditions=SUCCEEDED, currentOptimalTrial=OPTIMAL)
        assert waiting.result(20).current_optimal_trial.best_trial_name == "t-b"
    assert cluster.watches >= 2


@pytest.mark.parametrize("refused", ["WATCH", "GET"])
def test_a_server_that_is_busy_for_a_moment_is_asked_again(cluster, katib, refused):
    katib.create(MANIFEST)
    for code in (503, 429):
        cluster.fail(status=code, method=refused, plural="experiments")
    ended = threading.Timer(0.3, cluster.became, (NAME,), {"conditions": SUCCEEDED, "currentOptimalTrial": OPTIMAL})
    ended.start()
    assert katib.wait(NAME, planned=4, timeout_seconds=20).current_optimal_trial.best_trial_name == "t-b"
    ended.join()
    assert not any(failure.left for failure in cluster.held.failures)


def test_a_server_that_stays_busy_ends_the_wait(cluster, katib):
    katib.create(MANIFEST)
    cluster.fail(next=5, status=503, method="GET")
    with pytest.raises(ClusterError, match="503"):
        katib.wait(NAME, planned=4, timeout_seconds=20)


def test_a_failed_search_ends_with_its_reason_and_the_last_lines_of_a_failed_trial(cluster, katib):
    katib.create(MANIFEST)
    log = "".join(f"I0131 12:00:0{n % 10}.000000      14 main.go:139] line {n}\n" for n in range(30))
    cluster.add_pod("t-d", {COLLECTOR: log + "I0131 12:00:09.000000      14 main.go:139] Error: no such film\n"})
    failed = [{"type": "Failed", "status": "True", "message": "max failed count has reached"}]
    cluster.became(NAME, conditions=failed, trials=3, trialsFailed=3, failedTrialList=["t-c", "t-d"])
    with pytest.raises(SearchError) as raised:
        run(katib)
    first, pod, *lines = str(raised.value).splitlines()
    assert "max failed count has reached" in first
    assert "3 failed" in first
    assert pod.startswith("t-d")
    assert (len(lines), lines[0], lines[-1]) == (20, "line 11", "Error: no such film")


def test_without_katibs_container_the_training_speaks_for_itself(cluster, katib):
    katib.create(MANIFEST)
    cluster.add_pod("t-d", {CONTAINER: "Error: no such film\n"})
    cluster.became(NAME, conditions=[{"type": "Failed", "status": "True"}], failedTrialList=["t-d"])
    with pytest.raises(SearchError, match=r"(?s)t-d: \nError: no such film$"):
        katib.wait(NAME, planned=4, timeout_seconds=5)


def test_a_log_that_cannot_be_read_does_not_hide_the_reason(cluster, katib):
    katib.create(MANIFEST)
    cluster.fail(status=403, plural="pods")
    failed = [{"type": "Failed", "status": "True", "message": "max failed count has reached"}]
    cluster.became(NAME, conditions=failed, failedTrialList=["t-d"])
    with pytest.raises(SearchError, match=r"(?s)max failed count has reached.*403.*service account"):
        katib.wait(NAME, planned=4, timeout_seconds=5)


def test_trials_without_metrics_are_no_success(cluster, katib):
    katib.create(MANIFEST)
    cluster.add_pod("t-a", {COLLECTOR: "epoch 1\n"})
    cluster.became(
        NAME,
        conditions=SUCCEEDED,
        trialMetricsUnavailable=1,
        metricsUnavailableTrialList=["t-a"],
        currentOptimalTrial={"bestTrialName": "", "observation": {}},
    )
    with pytest.raises(SearchError, match=r"(?s)must report the objective.*1 without metrics.*t-a: \nepoch 1"):
        katib.wait(NAME, planned=4, timeout_seconds=5)


def test_a_search_that_takes_too_long_says_what_its_trials_wait_for(cluster, katib):
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    state = {"name": CONTAINER, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    cluster.add_pod("t-a", status={"phase": "Pending", "containerStatuses": [state]})
    katib.create(MANIFEST)
    cluster.became(NAME, conditions=RUNNING, trials=1, trialsPending=1, pendingTrialList=["t-a"])
    with pytest.raises(SearchError, match=r"(?s)within 0.2 s.*1 pending.*injection.*t-a: ImagePullBackOff: no such"):
        run(katib, seconds=0.2)


def test_a_pod_that_finds_no_node_says_so(cluster, katib):
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    cluster.add_pod("t-a", status={"phase": "Pending", "conditions": [unschedulable]})
    katib.create(MANIFEST)
    cluster.became(NAME, conditions=RUNNING, trials=1, trialsPending=1, pendingTrialList=["t-a"])
    with pytest.raises(SearchError, match="t-a: Unschedulable: 0/3 nodes"):
        katib.wait(NAME, planned=4, timeout_seconds=0)


def test_a_search_that_is_deleted_under_way_ends_the_wait(cluster, katib):
    katib.create(MANIFEST)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(katib.wait, NAME, planned=4, timeout_seconds=20)
        cluster.until(lambda: cluster.watches == 1)
        cluster.vanish(NAME)
        with pytest.raises(SearchError, match="must not be deleted"):
            waiting.result(20)
    with pytest.raises(SearchError, match="deleted"):
        katib.wait(NAME, planned=4, timeout_seconds=5)


def test_deleting_twice_is_no_error(cluster, katib):
    katib.create(MANIFEST)
    katib.delete(NAME)
    katib.delete(NAME)
    assert not cluster.experiments


@pytest.mark.parametrize(("code", "words"), [(401, "log in"), (403, "service account"), (404, "is Katib installed")])
def test_a_refusal_says_what_to_do(cluster, katib, code, words):
    cluster.fail(status=code, method="POST", plural="experiments")
    with pytest.raises(ClusterError, match=words):
        katib.create(MANIFEST)


def test_a_cluster_that_does_not_answer_says_so():
    configuration = client.Configuration(host="http://127.0.0.1:9")
    configuration.retries = False
    with client.ApiClient(configuration) as api, pytest.raises(ClusterError, match="must answer"):
        Katib(api, NAMESPACE, pause=0.001).create(MANIFEST)


def test_a_search_without_a_complete_trial_says_why(cluster, katib):
    values = {"loss.gamma": "0.75", "schedule.batch_size": "16"}
    cluster.add_trial(NAME, "t-a", "EarlyStopped", values, "0.7")
    cluster.add_trial(NAME, "t-b", "Succeeded", values, "unavailable")
    cluster.add_trial(NAME, "t-c", "Running", values)
    katib.create(MANIFEST)
    cluster.became(NAME, conditions=SUCCEEDED, currentOptimalTrial=OPTIMAL)
    with pytest.raises(SearchError, match="none of 2 was: reported no validation_macro_auroc"):
        run(katib)


@pytest.mark.parametrize(("gamma", "batch_size"), [("0.75", None), ("0.75", "48"), ("?", "16"), ("nan", "16")])
def test_values_that_are_none_of_the_search_spaces_are_refused(cluster, katib, gamma, batch_size):
    values = {"loss.gamma": gamma} | ({"schedule.batch_size": batch_size} if batch_size else {})
    cluster.add_trial(NAME, "t-a", "Succeeded", values, "0.9")
    katib.create(MANIFEST)
    cluster.became(NAME, conditions=SUCCEEDED, currentOptimalTrial=OPTIMAL)
    with pytest.raises(SearchError, match="must"):
        run(katib)
