import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.contracts.cluster import Cluster, resolve_cluster
from cxr.errors import ClusterError


def refusal(text):
    with pytest.raises(ClusterError) as error:
        resolve_cluster(text)
    return str(error.value)


@pytest.mark.parametrize("text", ["", "  \n", "# nothing yet\n", "{}"])
def test_what_is_not_stated_keeps_its_default(text):
    assert resolve_cluster(text) == Cluster()


@pytest.mark.parametrize(
    "text",
    [
        "training: {nodes: 2, gpus: 4}",
        "training:\n  nodes: 2\n  gpus: 4\n",
        '{"training": {"nodes": 2, "gpus": 4}}',
    ],
)
def test_yaml_and_json_say_the_same(text):
    cluster = resolve_cluster(text)
    assert (cluster.training.nodes, cluster.training.processes_per_node) == (2, 4)
    assert cluster.search == Cluster().search


def test_a_file_is_read_by_its_path(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("namespace: chest\nsearch: {parallel: 8, keep: true}\n")
    cluster = resolve_cluster(str(path))
    assert (cluster.namespace, cluster.search.parallel, cluster.search.keep) == ("chest", 8, True)
    assert f"the cluster {tmp_path / 'absent.yaml'} must be a readable text file" in refusal(
        str(tmp_path / "absent.yaml")
    )


@given(
    st.builds(
        Cluster,
        namespace=st.sampled_from(["cxr", "chest-films"]),
        user=st.integers(1, 2**31 - 1),
        secrets=st.just(()),
        pull_secrets=st.lists(st.sampled_from(["a", "b"])).map(tuple),
    )
)
def test_a_cluster_written_as_json_is_read_back(cluster):
    assert resolve_cluster(msgspec.json.encode(cluster).decode()) == cluster


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("training: {node: 2}", "training.node is not known; did you mean nodes?"),
        ("trainig: {nodes: 2}", "trainig is not known; did you mean training?"),
        ("search: {tolerations: [{kee: x}]}", "search.tolerations[0].kee is not known; did you mean key?"),
        ("training: {nodes: 0}", "training.nodes must be a whole number >= 1, is 0"),
        ("training: {nodes: two}", "training.nodes must be a whole number, is 'two'"),
        ("search: 3", "search must be names and values, is 3"),
        ("namespace: Chest", "namespace must be text matching"),
        ("pull_policy: always", "is 'always'; did you mean Always?"),
        ("user: 0", "user must be a whole number >= 1, is 0"),
        ("secrets: [{name: A, key: b}]", "secrets[0] must state its secret, is {'name': 'A', 'key': 'b'}"),
        ("[]", "must hold names and values, holds '[]'"),
        ("[1]", "must hold names and values, holds '[1]'"),
        ("a: [", "must be YAML or JSON"),
        ("nodes", "must hold names and values, holds 'nodes'"),
        ("image: cxr/pipeline:latest", "a tag other than latest"),
        ("image: registry:5000/cxr", "a tag other than latest"),
        ("image: ''", "a tag other than latest"),
        ("mount: scratch", "mount must be an absolute path"),
        ("search: {gibibytes: 4}", "search.shared_gibibytes is part of search.gibibytes and must be less"),
        ("training: {gpus: 2, processes: 3}", "training.processes must be at most training.gpus"),
    ],
)
def test_what_is_wrong_is_refused_with_the_name_and_the_value(text, words):
    assert words in refusal(text)


@pytest.mark.parametrize(
    ("text", "processes"),
    [("gpus: 4", 4), ("gpus: 0", 1), ("gpus: 0, processes: 3", 3), ("gpus: 4, processes: 2", 2)],
)
def test_a_node_has_a_process_for_each_gpu_unless_told_otherwise(text, processes):
    assert resolve_cluster(f"training: {{{text}}}").training.processes_per_node == processes
