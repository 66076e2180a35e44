"""The TrainJob against the real CRD, Trainer's models, and what its controller and torchrun do with it."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from torch.distributed.run import config_from_args, parse_args

from cxr.adapters.custom_objects import IDENTITY
from cxr.adapters.train_job import NODE, SCRATCH, checkpoint_folder, render_train_job
from cxr.contracts.cluster import GPU, Cluster, SecretVariable, SharedFilms, TrainingPods
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe

CRD = Path(__file__).parents[3] / "shared" / "crds" / "trainjobs.trainer.kubeflow.org.yaml"
KEY = "0123456789abcdef" * 4
SHARED = SharedFilms(studies="runs/shared", split="runs/shared/split-1", weights="runs/shared/weights-1.pth")
DEFAULTS = Cluster()
FULL = Cluster(
    image=f"registry.example/cxr/pipeline@sha256:{'0' * 64}",
    secrets=(SecretVariable(name="AWS_SECRET_ACCESS_KEY", secret="s3", key="secret"),),  # noqa: S106
    pull_secrets=("registry",),
    service_account="cxr-training",
    training=TrainingPods(nodes=2, gpus=4, timeout_hours=2.0, runtime="torch-hospital"),
)
ON_CPU = Cluster(training=TrainingPods(gpus=0, nodes=2))


def render(cluster=DEFAULTS, recipe=None, key=KEY, scratch="runs"):
    return render_train_job(recipe or Recipe(), cluster, SHARED, key=key, scratch=scratch)


def pod(job):
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert replicated["name"] == NODE
    return replicated["template"]["spec"]["template"]


def closed(schema):
    """A CRD's schema that refuses fields it does not know, as strict field validation does on the server."""
    if isinstance(schema, dict):
        inner = {name: closed(value) for name, value in schema.items()}
        known = inner.get("type") == "object" and "properties" in inner and "additionalProperties" not in inner
        return {**inner, "additionalProperties": False} if known else inner
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


@pytest.fixture(scope="module")
def schema():
    if not CRD.is_file():
        pytest.skip("the CRDs are not beside the checkout")
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    assert version["name"] == "v1alpha1"
    found = closed(version["schema"]["openAPIV3Schema"])
    found["properties"]["metadata"] = {"type": "object"}  # the server's own, not the CRD's
    return found


@pytest.mark.parametrize("cluster", [DEFAULTS, FULL, ON_CPU])
def test_the_crd_takes_every_field(schema, cluster):
    job = render(cluster)
    jsonschema.validate(job, schema)
    for path in (("trainer", "numNode"), ("runtimePatches", 0, "spec"), ("trainer", "resourcesPerNode", "limit")):
        broken = json.loads(json.dumps(job["spec"]))
        inner = broken
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = 1
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**job, "spec": broken}, schema)


def test_the_name_is_one_that_jobset_can_lengthen_for_its_pods():
    name = render()["metadata"]["name"]
    assert name == "cxr-train-0123456789ab"
    assert len(f"{name}-{NODE}-0-0-abcde") <= 63


def test_one_training_has_one_name_and_another_way_of_doing_it_another_identity():
    jobs = [render(), render(), render(FULL), render(key="f" * 64)]
    names = [job["metadata"]["name"] for job in jobs]
    identities = [job["metadata"]["annotations"][IDENTITY] for job in jobs]
    assert names[0] == names[1] == names[2] != names[3]
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3


def test_nodes_get_what_is_asked_for():
    spec = render(FULL)["spec"]
    assert spec["runtimeRef"]["name"] == "torch-hospital"
    assert spec["activeDeadlineSeconds"] == 7200
    trainer = spec["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4)
    assert trainer["resourcesPerNode"]["limits"][GPU] == "4"
    assert trainer["image"] == FULL.image
    variables = {variable["name"]: variable for variable in trainer["env"]}
    assert variables["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "s3", "key": "secret"}
    assert not [name for name in variables if name.startswith("PET_")], "reserved by Trainer's webhook"


def test_nodes_run_where_and_as_they_should():
    template = pod(render(FULL))
    spec = template["spec"]
    assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert spec["nodeSelector"] == {f"{GPU}.present": "true"}
    assert spec["tolerations"] == [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["serviceAccountName"] == "cxr-training"
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert container["name"] == NODE
    assert "env" not in container, "Trainer's webhook refuses it here"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounts[SCRATCH]["persistentVolumeClaim"] == {"claimName": "cxr-scratch"}
    assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"  # noqa: S108
    assert "/tmp" in mounts  # noqa: S108


def test_nodes_without_gpus_ask_for_no_gpu_node():
    job = render(ON_CPU)
    assert not {"nodeSelector", "tolerations"} & set(pod(job)["spec"])
    assert GPU not in job["spec"]["trainer"]["resourcesPerNode"]["limits"]
    assert job["spec"]["trainer"]["numProcPerNode"] == 1


def test_torchrun_reads_the_command_and_what_trainer_tells_it(monkeypatch):
    """Trainer's torch plugin sets these variables (pkg/runtime/framework/plugins/torch/torch.go, 2.3)."""
    job = render(FULL)
    name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
    told = {
        "PET_NNODES": str(trainer["numNodes"]),
        "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": f"{name}-{NODE}-0-0.{name}",
        "PET_MASTER_PORT": "29500",
    }
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert trainer["command"] == ["torchrun"]
    arguments = parse_args([word.replace("$$", "$") for word in trainer["args"]])  # as the kubelet does
    assert (arguments.module, arguments.training_script, arguments.training_script_args[0]) == (True, "cxr", "train")
    config, _, words = config_from_args(arguments)
    assert (config.min_nodes, config.max_nodes, config.nproc_per_node) == (2, 2, 4)
    assert (config.rdzv_backend, config.rdzv_endpoint) == ("static", f"{name}-node-0-0.{name}:29500")
    given = dict(zip(words[4::2], words[5::2], strict=True))
    assert given["--studies"] == "/scratch/runs/shared"
    assert given["--split"] == "/scratch/runs/shared/split-1"
    assert given["--weights"] == "/scratch/runs/shared/weights-1.pth"
    assert given["--out"] == f"/scratch/{checkpoint_folder('runs', KEY)}"
    assert given["--scratch"] == "/scratch/runs"


def test_a_recipe_survives_kubernetes():
    odd = with_values(Recipe(), {"split.linked_sources": [["it's", '$HOME $(date) "x" \\ $$']]})
    arguments = [word.replace("$$", "$") for word in render(recipe=odd)["spec"]["trainer"]["args"]]
    given = json.loads(arguments[arguments.index("--recipe") + 1])
    assert given["split"]["linked_sources"] == [["it's", '$HOME $(date) "x" \\ $$']]


def test_the_root_of_the_claim_may_be_the_scratch_folder():
    given = render(scratch="")["spec"]["trainer"]["args"]
    assert given[given.index("--scratch") + 1] == "/scratch"
    assert given[given.index("--out") + 1] == "/scratch/trained-0123456789ab/checkpoint"
