"""Every command of docs/deploy.md, in order, and commands that must not pass."""

import dataclasses
from pathlib import Path

import pytest

from cxr.contracts.cluster import resolve_cluster
from cxr.contracts.deployment import resolve_deployment
from pipelines.placement import SECRETS
from support import chart
from support.deploy_commands import check
from support.kubectl_commands import Cluster, secret_keys
from support.kustomize import MANIFESTS, OVERLAYS, render
from support.shell_text import Unusable, blocks, commands

DOCUMENT = Path(__file__).parents[2] / "docs" / "deploy.md"
OF_THE_READER = {
    "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "KAGGLE_USERNAME": "name", "KAGGLE_KEY": "key",
}  # fmt: skip


@pytest.fixture(scope="module")
def keys():
    """Keys of every secret that overlays, chart and pipelines read."""
    objects = [found for name in OVERLAYS for found in render(MANIFESTS / "overlays" / name)]
    for variant in ("full", "given certificate", "retraining"):
        objects += chart.render(chart.VARIANTS[variant])
    found = {name: set(read) for name, read in SECRETS.items()}
    for name, read in secret_keys(objects).items():
        found.setdefault(name, set()).update(read)
    return found


def follow(text, cluster, variables):
    """Check the commands of a block one after the other."""
    for command in commands(text, variables):
        try:
            check(command, cluster)
        except Unusable as error:
            raise Unusable(f"{command.source}\n{error}") from error


@pytest.fixture(scope="module")
def followed(keys):
    """The cluster after every command of the document, and the variables that are set by then."""
    cluster, variables = Cluster(keys), dict(OF_THE_READER)
    for block in blocks(DOCUMENT.read_text()):
        follow(block, cluster, variables)
    return cluster, variables


def test_every_command_would_work(followed):
    cluster, _ = followed
    assert cluster.releases.keys() == {"cxr", "cxr-next"}
    assert cluster.secrets == {
        "cxr-mlflow", "cxr-s3", "cxr-s3-ca", "cxr-kaggle", "cxr-keys", "cxr-client", "cxr-audit", "cxr-retraining",
    }  # fmt: skip


def test_commands_are_fenced_as_shell(followed):
    text = DOCUMENT.read_text()
    assert text.count("```sh\n") * 2 == text.count("```")
    assert not [line for line in text.splitlines() if line.startswith("    ") and "kubectl" in line]


def test_nothing_that_must_be_given_is_left_out_of_the_document(keys, followed):
    cluster, _ = followed
    optional = {"cxr-token", "cxr-webhook", "cxr-certificate"}  # and cert-manager writes *-tls
    assert set(keys) - cluster.secrets - optional - {"cxr-tls", "ward-cxr-tls"} == set()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("helm install cxr charts/cxr --namespace cxr --set bundle.url=s3://a/b", "refuses"),
        ("helm install cxr charts/cxr --namespace cxr --set bundle.uri=s3://a/b", "refuses"),
        ("helm install cxr charts/cxr --namespace cxr --values manifests/overlays/nowhere.yaml", "no such file"),
        ("helm install new charts/cxr --namespace cxr --set bundle.uri=s3://a/b --set apiKeys.secretName=cxr-kyes",
         "cxr-kyes was not made"),
        ("helm install cxr charts/cxr --set bundle.uri=s3://a/b --wiat", "not known"),
        ("helm rollback other 1 --namespace cxr", "not installed"),
        ("helm delete cxr", "not known"),
        ("kubectl apply -k manifests/overlays/staging", "no kustomization"),
        ("kubectl -n cxr rollout status deployment/mlfow", "no deployment mlfow"),
        ("kubectl -n cxr get service cxr-apis", "no service cxr-apis"),
        ("kubectl rollout status deployment/mlflow", "namespace"),
        ("kubectl -n cxr create secret generic cxr-s3 --from-literal=AWS_ACCESS_KEY=x", "nothing reads"),
        ("kubectl -n cxr create secret generic cxr-keys --from-file=key.json", "nothing reads"),
        ("kubectl -n cxr create job again --from=cronjob/mlflow-backups", "no cronjob"),
        ("kubectl -n cxr annotate secret cxr-s3 serving.kserve.io/endpoint=a", "nothing reads"),
        ("kubectl -n cxr drain deployment/mlflow", "not known"),
        ("kubectl -n cxr logs job/mlflow-backup-1 --folow", "not known"),
        (".venv/bin/python -m pipelines submit --host h --dta phantom:8", "No such option"),
        (".venv/bin/python -m pipelines submit --host h", "data"),
        (".venv/bin/python -m pipelines summit", "no command"),
        (".venv/bin/python -m pipelines submit --host h --data d --search-engine katip", "katip"),
        (".venv/bin/cxr keys create --keys keys.json --scope everything", "everything"),
        (".venv/bin/cxr audit verity s3://a/b", "no command"),
        ("make imagse", "imagse"),
        ("curl --header 'X-API-Key: k' https://cxr-api.cxr.svc:8443/drift_reports", "no route"),
        ("curl --header 'X-API-Key: k' --form file=@f https://cxr-api.cxr.svc:8443/drift_report", "no route"),
        ("curl --header 'X-API-Key: k' https://cxr.cxr.svc:8443/health", "no service"),
        ("curl https://cxr-api.cxr.svc:8443/health", "no key"),
        ("podman push cxr/predictor:0.0.1 registry.example/predictor:0.0.1", "the version is"),
        ("podman push cxr/predictor:0.1.0 registry.example/drift:0.1.0", "its own name"),
        ("podman save --output a.tar docker.io/cxr/pipelines:0.1.0", "no image"),
        ("kind load docker-image cxr/pipeline:0.1.0", "not known"),
        ("kubectl -n cxr patch secret cxr-s3 --patch '{\"stringData\": {\"AWS_CA\": \"x\"}}'", "nothing reads"),
        ("kubectl -n cxr patch inferenceservice cxr --patch '{\"spec\": {\"canry\": null}}'", "nothing reads"),
        ("kubectl set env --filename=- DUMP=/a", "locally"),
        ("skaffold run --profile staging", "one of the profiles"),
        ("terraform apply", "not one of the programs"),
        ("printf $UNSET", "nowhere set"),
        ("printf 'open", "quotation"),
    ],
)  # fmt: skip
def test_a_broken_command_does_not_pass(followed, line, reason):
    cluster, variables = followed
    after = dataclasses.replace(
        cluster, objects=set(cluster.objects), secrets=set(cluster.secrets), releases=dict(cluster.releases)
    )
    with pytest.raises(Unusable, match=reason):
        follow(line, after, dict(variables))


def test_every_alert_has_its_steps():
    (rule,) = chart.of_kind(chart.render(chart.VARIANTS["retraining"]), "PrometheusRule")
    alerts = {rule["alert"] for group in rule["spec"]["groups"] for rule in group["rules"]}
    text = DOCUMENT.read_text().partition("## When something is wrong")[2]
    assert {alert for alert in alerts if f"`{alert}`" not in text} == set()


def test_a_command_inside_of_another_is_checked_too(followed):
    words = [command.words[0] for command in commands('curl --header "X: $(cat key | base64)" u | jq .', {})]
    assert words == ["cat", "base64", "curl", "jq"]


def test_the_files_that_are_given_to_the_pipelines_are_read_by_the_steps():
    cluster = resolve_cluster(str(MANIFESTS / "overlays" / "production" / "cluster.yaml"))
    assert cluster.training.nodes > 1
    assert cluster.search.parallel > 1
    deployment = resolve_deployment(str(MANIFESTS / "overlays" / "production" / "deployment.yaml"))
    assert deployment.namespace == cluster.namespace == "cxr"
    assert deployment.name == "cxr"
