"""The InferenceService of KServe 0.21 that the chart installs: what of it a new bundle changes.

`containers` is one atomic list in KServe's CRD, so nobody can own one variable of it. A change is therefore the whole
object as it was read, with the version that it had; the API server refuses it when somebody was faster.
"""

import copy
from typing import Any

import msgspec

from cxr.contracts.files import Contract
from cxr.errors import ClusterError

API_VERSION = "serving.kserve.io/v1beta1"
PREDICTOR = "kserve-container"

BUNDLE = "cxr/bundle"
"""Annotation: digest of the bundle that was deployed last and to the end."""
ADDRESS = "cxr/address"
"""Annotation: where that bundle lies. Another address is served when somebody else has changed it, Helm as a rule."""
CANDIDATE = "cxr/candidate"
"""Annotation: digest of a bundle that is being deployed."""
BEFORE = "cxr/before"
"""Annotation: what was served before a deployment that has not ended, to go back to."""

_STORAGE = "STORAGE_URI"
_CLAIM = "pvc://"
_VOLUME, _COPIED = "bundle", "kserve-provision-location"
_MOUNT = "/mnt/models"
_CHANGED = ("name", "containers", "volumes")

Object = dict[str, Any]


class _Before(Contract, frozen=True, kw_only=True):
    """What a deployment found.

    Attributes:
        predictor: the fields that it changes; None removes.
        canary: `spec.canary`.
        address: of the bundle that it deploys; empty where it was not noted.
    """

    predictor: Object
    canary: list[Object] | None
    address: str = ""


def annotation(service: Object, name: str) -> str:
    """An annotation's text; empty when there is none."""
    return str((service["metadata"].get("annotations") or {}).get(name, ""))


def storage_uri(service: Object) -> str:
    """Where the bundle that it serves lies; empty when it is not said."""
    return _address(service["spec"]["predictor"], service)


def _address(predictor: Object, service: Object) -> str:
    for variable in _container(predictor, service).get("env", ()):
        if variable["name"] == _STORAGE:
            return str(variable.get("value", ""))
    for volume in predictor.get("volumes", ()):
        if volume["name"] == _VOLUME and "persistentVolumeClaim" in volume:
            mounts = _container(predictor, service).get("volumeMounts", ())
            folder = next((mount.get("subPath", "") for mount in mounts if mount["name"] == _VOLUME), "")
            return f"{_CLAIM}{volume['persistentVolumeClaim']['claimName']}/{folder}".rstrip("/")
    return ""


def canary_names(digest: str) -> tuple[str, str]:
    """Names that the predictor of a bundle may have: KServe names its pods and its service after it.

    The second is for a canary beside a predictor that has the first, from an earlier promotion of the same bundle.
    """
    name = f"m{digest[:10]}"
    return name, f"{name}b"


def canary_name(service: Object) -> str:
    """Name of the canary that an InferenceService has; empty when there is none."""
    return next((str(one["predictor"].get("name", "")) for one in service["spec"].get("canary") or ()), "")


def serves(service: Object, digest: str) -> bool:
    """Whether a bundle has been deployed to the end, and nobody has changed that since."""
    known = annotation(service, BUNDLE) == digest and not annotation(service, CANDIDATE)
    return known and annotation(service, ADDRESS) in ("", storage_uri(service))


def is_canary(service: Object, digest: str) -> bool:
    """Whether a bundle has a canary's part of the traffic."""
    return annotation(service, CANDIDATE) == digest and canary_name(service) in canary_names(digest)


def is_promoted(service: Object, digest: str) -> bool:
    """Whether a bundle's canary has become the predictor, and the deployment has not been ended."""
    spec = service["spec"]
    promoted = not spec.get("canary") and spec["predictor"].get("name") in canary_names(digest)
    return promoted and annotation(service, CANDIDATE) == digest


def is_left(service: Object) -> bool:
    """Whether the predictor is what the deployment under way made of it, or found.

    It is not when somebody else has changed it since, as `helm rollback` and `helm upgrade` do: what was before is then
    nothing to go back to, and a canary was compared with something else.
    """
    return _is_left(service, _before(service))


def to_bundle(service: Object, *, digest: str, uri: str) -> Object:
    """The InferenceService that serves a bundle, without a canary."""
    if storage_uri(service) == uri and not service["spec"].get("canary") and _is_about(service, digest):
        return service
    return _change(service, _begun(service, digest, uri), predictor=_with_bundle(service, uri), canary=None)


def to_canary(service: Object, *, digest: str, uri: str, percent: int) -> Object:
    """The InferenceService that gives a bundle a part of the traffic, with one pod while that suffices.

    KServe lays a canary's fields over those of the predictor, so only what differs is given.

    Raises:
        ClusterError: the bundle is the one that serves.
    """
    if is_canary(service, digest):
        return service
    if serves(service, digest):
        raise ClusterError(
            f"a canary must be another bundle than the one that serves, both are {digest[:12]}; nothing is left to do"
        )
    stable = service["spec"]["predictor"].get("name")
    name = next(one for one in canary_names(digest) if one != stable)
    predictor = {**_with_bundle(service, uri), "name": name, "minReplicas": 1}
    return _change(service, _begun(service, digest, uri), canary=[{"trafficPercent": percent, "predictor": predictor}])


def check_canary(service: Object, *, digest: str) -> None:
    """Raise `ClusterError` unless a bundle is the canary."""
    if not is_canary(service, digest):
        raise ClusterError(
            f"{canary_names(digest)[0]} must be the canary of {service['metadata']['name']}, is not any more; deploy "
            "it again with mode canary"
        )


def to_promoted(service: Object, *, digest: str) -> Object:
    """The InferenceService whose canary has become the predictor. KServe keeps its pods: they go by the name.

    Raises:
        ClusterError: the bundle is not the canary, or somebody else has changed the predictor beside it.
    """
    if is_promoted(service, digest):
        return service
    check_canary(service, digest=digest)
    if not is_left(service):
        raise ClusterError(
            f"the predictor of {service['metadata']['name']} must stay as it was beside its canary, has been changed; "
            "promote the canary again"
        )
    canary = service["spec"]["canary"][0]["predictor"]
    return _change(service, {}, predictor={name: canary[name] for name in _CHANGED}, canary=None)


def to_ended(service: Object, *, digest: str) -> Object:
    """The InferenceService after a deployment that ended well: there is nothing left to go back to."""
    if annotation(service, CANDIDATE) != digest:
        return service
    return _change(service, {BUNDLE: digest, ADDRESS: storage_uri(service), CANDIDATE: None, BEFORE: None})


def to_before(service: Object, *, digest: str) -> Object:
    """The InferenceService as it was before the deployment of a bundle; the same where that is not under way.

    A predictor that somebody else has changed meanwhile stays as it is, without a canary.

    Raises:
        ClusterError: what was before is not known.
    """
    if annotation(service, CANDIDATE) != digest:
        return service
    before = _before(service)
    kept = before.predictor if _is_left(service, before) else {}
    return _change(service, {CANDIDATE: None, BEFORE: None}, predictor=kept, canary=before.canary)


def _is_about(service: Object, digest: str) -> bool:
    """Whether a bundle is being deployed, or has been."""
    return annotation(service, CANDIDATE) == digest or serves(service, digest)


def _begun(service: Object, digest: str, uri: str) -> dict[str, str | None]:
    """Annotations of a deployment that begins; what was before one that never ended stays what was before."""
    before = _Before(predictor=_left(service), canary=service["spec"].get("canary"))
    if annotation(service, CANDIDATE):
        unended = _before(service)
        before = unended if _is_left(service, unended) else _Before(predictor=_left(service), canary=unended.canary)
    served = _address({**service["spec"]["predictor"], **before.predictor}, service)
    stale: dict[str, str | None] = {}
    if annotation(service, ADDRESS) not in ("", served):
        stale = {BUNDLE: None, ADDRESS: None}
    kept = msgspec.structs.replace(before, address=uri.rstrip("/"))
    return {CANDIDATE: digest, BEFORE: msgspec.json.encode(kept).decode(), **stale}


def _left(service: Object) -> Object:
    """Those fields of the predictor that a deployment changes."""
    return {name: service["spec"]["predictor"].get(name) for name in _CHANGED}


def _before(service: Object) -> _Before:
    try:
        return msgspec.json.decode(annotation(service, BEFORE), type=_Before)
    except msgspec.MsgspecError as error:
        raise ClusterError(
            f"the annotation {BEFORE} of {service['metadata']['name']} must hold what was served before, does not; "
            f"remove it and the annotation {CANDIDATE}, and give the chart the bundle to serve"
        ) from error


def _is_left(service: Object, before: _Before) -> bool:
    return before.address in ("", storage_uri(service).rstrip("/")) or _left(service) == before.predictor


def _change(service: Object, annotations: dict[str, str | None], **spec: Any) -> Object:
    """Another version of the object; None removes."""
    changed: Object = _merged(service, {"metadata": {"annotations": annotations}, "spec": spec})
    return changed


def _with_bundle(service: Object, uri: str) -> Object:
    """Containers and volumes that read the bundle elsewhere."""
    predictor = copy.deepcopy(service["spec"]["predictor"])
    claimed = uri.startswith(_CLAIM)
    claim, _, folder = uri.removeprefix(_CLAIM).rstrip("/").partition("/")
    mount: Object = {"name": _VOLUME if claimed else _COPIED, "mountPath": _MOUNT, "readOnly": True}
    if claimed and folder:
        mount["subPath"] = folder
    _set_storage(_container(predictor, service), None if claimed else uri)
    for container in predictor["containers"]:
        mounts = container.get("volumeMounts", [])
        container["volumeMounts"] = [mount if one["mountPath"] == _MOUNT else one for one in mounts]
    volumes = [one for one in predictor.get("volumes", []) if one["name"] not in (_VOLUME, _COPIED)]
    copied = [one for one in predictor.get("volumes", []) if one["name"] == _COPIED]
    if claimed:
        volumes.insert(0, {"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    else:
        volumes[:0] = copied or [{"name": _COPIED, "emptyDir": {}}]
    return {"containers": predictor["containers"], "volumes": volumes}


def _set_storage(container: Object, uri: str | None) -> None:
    env = [variable for variable in container.get("env", []) if variable["name"] != _STORAGE]
    if uri is not None:
        env.append({"name": _STORAGE, "value": uri})
    container["env"] = env


def _container(predictor: Object, service: Object) -> Object:
    for container in predictor.get("containers", ()):
        if container["name"] == PREDICTOR:
            found: Object = container
            return found
    raise ClusterError(
        f"{service['metadata']['name']} must have a container {PREDICTOR}, has none; install it with charts/cxr"
    )


def _merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(value) if isinstance(value, dict) else {}
    for name, inner in patch.items():
        if inner is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), inner)
    return merged
