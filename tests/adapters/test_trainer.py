"""The client against an HTTP API that keeps objects and streams watches: the flow, not what Trainer takes."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from cxr.adapters.train_job import NODE, render_train_job
from cxr.adapters.trainer import Trainer
from cxr.contracts.cluster import Cluster, SharedFilms, TrainingPods
from cxr.contracts.recipe import Recipe
from cxr.errors import ClusterError, TrainingError
from support.cluster_stand_in import NAMESPACE, connected
from support.kube_api import CREATED

FILMS = SharedFilms(studies="shared", split="shared/split-1")
KEY = "0123456789abcdef" * 4
POD = "jobset.sigs.k8s.io/jobset-name"


def render(**pods):
    cluster = Cluster(namespace=NAMESPACE, training=TrainingPods(**pods))
    return render_train_job(Recipe(), cluster, FILMS, key=KEY, scratch="")


MANIFEST = render()
NAME = MANIFEST["metadata"]["name"]


def condition(kind, status="True", reason="Because", message="it is so"):
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": CREATED}


def jobs(**numbers):
    none = dict.fromkeys(("ready", "active", "succeeded", "failed", "suspended"), 0)
    return [{"name": NODE, **none, **numbers}]


COMPLETE = [condition("Suspended", "False"), condition("Complete", reason="JobsCompleted")]
FAILED = [condition("Failed", reason="JobsFailed", message="jobset failed due to one or more job failures")]


@pytest.fixture
def stand_in():
    with connected() as (cluster, api):
        yield cluster, Trainer(api, NAMESPACE, pause=0.01)


@pytest.fixture
def cluster(stand_in):
    return stand_in[0]


@pytest.fixture
def trainer(stand_in):
    return stand_in[1]


def test_a_training_is_created_watched_and_deleted(cluster, trainer, caplog):
    caplog.set_level(logging.INFO)
    trainer.create(MANIFEST)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(trainer.wait, NAME, timeout_seconds=20)
        cluster.until(lambda: cluster.watches == 1)
        cluster.became(NAME, conditions=[condition("Suspended")], jobsStatus=jobs(suspended=1))
        cluster.became(NAME, conditions=[condition("Suspended", "False")], jobsStatus=jobs(active=1, ready=1))
        cluster.became(NAME, conditions=COMPLETE, jobsStatus=jobs(succeeded=1))
        waiting.result(20)
    assert "suspended: it queues" in caplog.text
    assert "1 ready, 1 active" in caplog.text
    trainer.delete(NAME)
    trainer.delete(NAME)
    assert not cluster.trainjobs
    (created,) = [body for method, _, _, body in cluster.requests if method == "POST"]
    assert created == MANIFEST


def test_the_same_training_is_joined_and_not_another_way_of_doing_it(cluster, trainer):
    trainer.create(MANIFEST)
    trainer.create(MANIFEST)
    with pytest.raises(TrainingError, match="belongs to another one in films; wait for that one to end, or delete it"):
        trainer.create(render(nodes=2))
    assert cluster.trainjobs[NAME]["spec"] == MANIFEST["spec"]


def test_a_watch_whose_version_is_gone_begins_again(cluster, trainer):
    trainer.create(MANIFEST)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(trainer.wait, NAME, timeout_seconds=20)
        cluster.until(lambda: cluster.watches == 1)
        cluster.forget()
        cluster.until(lambda: cluster.expired >= 1)
        cluster.became(NAME, conditions=COMPLETE)
        waiting.result(20)
    assert cluster.watches >= 2


def test_a_failed_training_ends_with_its_reason_and_the_last_lines_of_the_node_that_failed(cluster, trainer):
    trainer.create(MANIFEST)
    cluster.add_pod(NAME, {NODE: "still going\n"}, {"phase": "Running"}, label=POD, name="a")
    cluster.add_pod(NAME, {NODE: "epoch 1\n\nError: no such film\n"}, {"phase": "Failed"}, label=POD, name="b")
    cluster.became(NAME, conditions=FAILED, jobsStatus=jobs(failed=1))
    with pytest.raises(TrainingError) as raised:
        trainer.wait(NAME, timeout_seconds=5)
    first, *lines = str(raised.value).splitlines()
    assert "jobset failed due to" in first
    assert "1 failed" in first
    assert lines == [f"{NAME}: ", "epoch 1", "Error: no such film"]


def test_a_node_that_was_restarted_says_what_it_died_of(cluster, trainer):
    state = {"name": NODE, "image": "i", "imageID": "", "ready": False, "restartCount": 2, "state": {}}
    cluster.add_pod(NAME, {}, {"phase": "Running", "containerStatuses": [state]}, label=POD, name="a")
    cluster.logs["a", f"{NODE} previous"] = "CUDA error\n"
    trainer.create(MANIFEST)
    with pytest.raises(TrainingError, match=r"(?s)within 0 s, is not \(no node yet\).*\nCUDA error$"):
        trainer.wait(NAME, timeout_seconds=0)


def test_where_the_pods_are_gone_the_claim_keeps_what_they_said(cluster, trainer, tmp_path):
    for rank, words, seconds in ((0, "Warning: slow\n", 1), (1, "Traceback\nError: it diverged\n", 2), (2, "", 3)):
        path = tmp_path / "none_x" / "attempt_0" / str(rank) / "stderr.log"
        path.parent.mkdir(parents=True)
        path.write_text(words)
        os.utime(path, (seconds, seconds))
    trainer.create(MANIFEST)
    cluster.became(NAME, conditions=FAILED)
    with pytest.raises(TrainingError, match=r"(?s)no pod\nTraceback\nError: it diverged$"):
        trainer.wait(NAME, timeout_seconds=5, output=tmp_path)
    with pytest.raises(TrainingError, match=r"(?s)no pod$"):
        trainer.wait(NAME, timeout_seconds=5, output=tmp_path / "absent")


def test_a_training_that_queues_too_long_says_so(cluster, trainer):
    trainer.create(MANIFEST)
    cluster.became(NAME, conditions=[condition("Suspended")])
    with pytest.raises(TrainingError, match=r"within 0\.1 s, is not \(suspended: it queues for a place"):
        trainer.wait(NAME, timeout_seconds=0.1)


def test_a_training_that_is_deleted_under_way_ends_the_wait(cluster, trainer):
    trainer.create(MANIFEST)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(trainer.wait, NAME, timeout_seconds=20)
        cluster.until(lambda: cluster.watches == 1)
        cluster.vanish(NAME)
        with pytest.raises(TrainingError, match="must not be deleted from films while it is awaited"):
            waiting.result(20)


@pytest.mark.parametrize(
    ("code", "words"), [(401, "log in"), (403, "trainjobs"), (404, "is Kubeflow Trainer installed")]
)
def test_a_refusal_says_what_to_do(cluster, trainer, code, words):
    cluster.fail(status=code, method="POST", plural="trainjobs")
    with pytest.raises(ClusterError, match=words):
        trainer.create(MANIFEST)


def test_a_busy_server_is_asked_again_and_nothing_is_created_twice(cluster, trainer):
    for code in (503, 0, 429):
        cluster.fail(status=code, method="POST")
    trainer.create(MANIFEST)
    assert list(cluster.trainjobs) == [NAME]


def test_a_status_that_trainer_never_writes_is_refused(cluster, trainer):
    trainer.create(MANIFEST)
    cluster.became(NAME, conditions=[{"type": "Complete"}])
    with pytest.raises(TrainingError, match="must be as Trainer writes it"):
        trainer.wait(NAME, timeout_seconds=5)
