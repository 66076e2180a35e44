"""The renderer of tests/support against kubectl, and what it refuses."""

import pytest
import yaml

from support.kustomize import MANIFESTS, OVERLAYS, Refused, identity, kubectl_is_new, kubectl_render, render

CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "films"},
         "spec": {"accessModes": ["ReadWriteMany"], "volumes": [{"name": "a"}], "fields": [1]}}  # fmt: skip


def kustomization(folder, **fields):
    (folder / "claim.yaml").write_text(yaml.safe_dump(CLAIM))
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["claim.yaml"], **fields}))
    return folder


def spec_patch(**spec):
    text = yaml.safe_dump({"kind": "PersistentVolumeClaim", "metadata": {"name": "any"}, "spec": spec})
    return [{"target": {"kind": "PersistentVolumeClaim", "name": "f.*"}, "patch": text}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_renders_the_same(overlay):
    if not kubectl_is_new():
        pytest.skip("no kubectl with kustomize 5 here")
    folder = MANIFESTS / "overlays" / overlay
    ours, theirs = ({identity(found): found for found in by(folder)} for by in (render, kubectl_render))
    assert ours == theirs


def test_a_patch_changes_its_targets_only(tmp_path):
    (found,) = render(kustomization(tmp_path, namespace="ward", patches=spec_patch(accessModes=["ReadWriteOnce"])))
    assert found["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert identity(found) == ("PersistentVolumeClaim", "ward", "films")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"commonLabels": {"a": "b"}}, "commonLabels"),
        ({"secretGenerator": []}, "secretGenerator"),
        ({"labels": [{"pairs": {"a": "b"}, "includeSelectors": True}]}, "includeSelectors"),
        ({"patches": spec_patch(fields=[2])}, r"spec\.fields"),
        ({"patches": spec_patch(accessModes=None)}, "deletions"),
        ({"patches": spec_patch(volumes=[{"name": "b"}])}, "nothing there is called b"),
        ({"patches": [{"target": {"kind": "Secret", "name": "films"}, "patch": "{}"}]}, "no target"),
        ({"patches": [{"target": {"kind": "PersistentVolumeClaim", "name": "films"},
                       "patch": "[{op: remove, path: /spec}]"}]}, "only additions"),
        ({"resources": ["claim.yaml", "claim.yaml"]}, "twice"),
    ],
)  # fmt: skip
def test_what_it_does_not_know_is_refused(tmp_path, fields, reason):
    with pytest.raises(Refused, match=reason):
        render(kustomization(tmp_path, **fields))


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    kustomization(tmp_path)
    (tmp_path / "claim.yaml").write_text("kind: A\nkind: B\nmetadata: {name: a}\n")
    with pytest.raises(Refused, match="twice"):
        render(tmp_path)
