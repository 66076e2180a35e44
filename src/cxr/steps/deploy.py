"""Deploy: a bundle into the InferenceService that the chart installed, tested there, and taken back when it fails."""

import functools
import io
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from PIL import Image

from cxr.contracts.bundle import read_bundle
from cxr.contracts.deployment import (
    DEPLOYED_FILE,
    VALUES_FILE,
    Deployed,
    Deployment,
    Mode,
    check_storage,
)
from cxr.contracts.files import new_folder, read_json, write_bytes, write_json
from cxr.contracts.registration import REGISTRATION_FILE, Registration
from cxr.contracts.yaml12 import dump_yaml
from cxr.errors import ClusterError, CxrError
from cxr.imaging.phantom.film import draw_phantom

if TYPE_CHECKING:
    from cxr.adapters.inference_services import InferenceServices

KEY_VARIABLE = "CXR_API_KEY"
"""Of the environment: the API key of the test request."""
AUTHORITY_VARIABLE = "CXR_CA_CERTIFICATE"
"""Of the environment: the certificate of the authority that signed the predictor's, PEM."""

logger = logging.getLogger(__name__)


def deploy(
    *, bundle: Path, registration: Path | None, mode: Mode, deployment: Deployment, out: Path, pause: float = 2.0
) -> Deployed:
    """Have a bundle served, all of the traffic or a canary's part, and write what was done.

    What was served before is kept in the InferenceService's annotations until the new bundle has answered a request, so
    that a step that was killed goes on when it is run again, and a failure in either run goes back.

    Args:
        bundle: folder of the bundle.
        registration: that `register` wrote; only needed where the deployment names no storage address.
        mode: "print" writes the chart's values that serve the bundle and touches no cluster; "apply" serves it;
            "canary" gives it a part of the traffic until `promote_canary` decides.
        deployment: where.
        out: folder to write: deployed.json and values.yaml.
        pause: seconds between two requests that wait for something.

    Raises:
        BundleError: the bundle is incomplete or changed.
        ClusterError: the bundle lies where KServe cannot read it, the cluster cannot be reached or refuses, or the new
            predictor is not well, in which case the old one serves again.
        RegistryError: the registry cannot be reached or refuses.
    """
    digest = read_bundle(bundle).digest
    uri = deployment.storage_uri or _registered(registration, deployment, digest)
    deployed = Deployed(mode=mode, name=deployment.name, namespace=deployment.namespace, bundle=digest, storage_uri=uri)
    if mode != "print":
        deployed = _serve(deployed, deployment, pause)
    with new_folder(out) as draft:
        write_json(draft / DEPLOYED_FILE, deployed)
        write_bytes(draft / VALUES_FILE, dump_yaml({"bundle": {"uri": uri}}).encode())
    return deployed


def _registered(registration: Path | None, deployment: Deployment, digest: str) -> str:
    """Where the registry keeps the bundle."""
    from cxr.adapters.registry import Registry

    if registration is None:
        raise ClusterError("the deployment must name a storage_uri where there is no registration, names none")
    found = read_json(registration / REGISTRATION_FILE, Registration)
    if found.bundle != digest:
        raise ClusterError(
            f"the registration must be of the bundle {digest[:12]}, is of {found.bundle[:12]}; run `cxr register` again"
        )
    uri = Registry(deployment.tracking_uri).address(found.model, found.model_version)
    check_storage(uri)
    return uri


def _serve(deployed: Deployed, deployment: Deployment, pause: float) -> Deployed:
    """Have a bundle served, and asked about a drawn film."""
    from cxr.adapters import inference_service
    from cxr.adapters.inference_services import InferenceServices
    from cxr.adapters.kubernetes_api import connect
    from cxr.adapters.predictor_api import Predictor, check_predictor

    name, digest, uri = deployed.name, deployed.bundle, deployed.storage_uri
    change = functools.partial(inference_service.to_bundle, digest=digest, uri=uri)
    if deployed.mode == "canary":
        percent = deployment.canary.percent
        change = functools.partial(inference_service.to_canary, digest=digest, uri=uri, percent=percent)
    url = deployment.url or f"https://{name}-api.{deployment.namespace}.svc"
    authority = _secret(deployment.ca_file, "ca_file", AUTHORITY_VARIABLE)
    predictor = Predictor(url=url, model=deployment.model, key=_key(deployment), authority=authority)
    film = drawn_film()
    with connect() as api:
        services = InferenceServices(api, deployment.namespace, pause=pause)
        deadline = time.monotonic() + deployment.timeout_seconds
        changed = services.change(name, change)
        before = inference_service.annotation(changed, inference_service.BUNDLE)
        canary = inference_service.canary_name(changed)
        logger.info("%s gets bundle %s from %s", name, digest[:12], uri)
        try:
            services.wait(name, canary=canary, deadline=deadline)
            check_predictor(predictor, film, bundle=digest, deadline=deadline, pause=pause)
        except CxrError as error:
            words = services.last_words(name)  # before the pods that failed are gone
            back = _taken_back(services, name, digest)
            raise ClusterError(f"{error}; {back}. The predictor's log: {words}") from error
        if not canary:
            services.change(name, functools.partial(inference_service.to_ended, digest=digest))
    return msgspec.structs.replace(deployed, before="" if before == digest else before, canary=canary)


def _taken_back(services: "InferenceServices", name: str, digest: str) -> str:
    """Undo a deployment, and say so."""
    from cxr.adapters import inference_service

    try:
        if inference_service.serves(services.get(name), digest):
            return "it had been deployed before, so nothing is taken back"
        services.change(name, functools.partial(inference_service.to_before, digest=digest))
    except CxrError as error:
        return f"what was served before must serve again, does not: {error}"
    return "what was served before serves again"


def _key(deployment: Deployment) -> str:
    """The API key of the test request."""
    key = _secret(deployment.key_file, "key_file", KEY_VARIABLE)
    if not key:
        raise ClusterError(
            f"an API key must be at hand for the test request, is not; set {KEY_VARIABLE}, or key_file of the "
            "deployment"
        )
    return key


def _secret(file: str, name: str, variable: str) -> str:
    """Text of a file that the deployment names, or else of a variable; empty when there is neither."""
    if not file:
        return os.environ.get(variable, "").strip()
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(f"deployment: {name} must be a readable file: {error}") from error


def drawn_film() -> bytes:
    """A drawn film of a healthy chest, PNG."""
    buffer = io.BytesIO()
    Image.fromarray(draw_phantom(seed=1, finding="Normal").film).save(buffer, "PNG")
    return buffer.getvalue()
