"""A cluster at hand, and the volume that it shares with this process."""

from pathlib import Path

import pytest
import yaml

from cxr.contracts.cluster import Cluster, resolve_cluster
from support.cluster_stand_in import NAMESPACE
from support.cluster_stand_in import Cluster as StandIn


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """What the cluster of `KUBECONFIG` holds."""
    with StandIn(token="secret") as held:  # noqa: S106
        monkeypatch.setenv("KUBECONFIG", str(held.kubeconfig(tmp_path / "kubeconfig")))
        yield held


@pytest.fixture
def claim(tmp_path) -> Path:
    """Where the claim is mounted here."""
    folder = tmp_path / "claim"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(claim):
    """The cluster's settings, with changes."""

    def make(**sections) -> Cluster:
        text = yaml.safe_dump({"namespace": NAMESPACE, "mount": str(claim), **sections})
        return resolve_cluster(text)

    return make
