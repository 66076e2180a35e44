"""A test request to a predictor, over the V2 protocol, as a client would send it."""

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from cxr.errors import ClusterError

_SECONDS = 30.0
_PAUSE = 2.0
_REFUSED = 422
_FINAL = (400, 401, 403, 404)


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """How to reach a predictor.

    Attributes:
        url: scheme, host and port.
        model: name in the addresses of the V2 protocol.
        key: API key of scope `predict`. Never shown.
        authority: certificate of the authority that signed the predictor's, PEM; the system's when empty.
    """

    url: str
    model: str
    key: str = field(repr=False)
    authority: str = field(default="", repr=False)


def check_predictor(predictor: Predictor, film: bytes, *, bundle: str, deadline: float, pause: float = _PAUSE) -> None:
    """Ask a predictor about a film until the bundle that is meant answers.

    A film that is refused counts as answered: a bundle may know a drawn film from a real one.

    Args:
        predictor: whom to ask.
        film: encoded.
        bundle: digest that the answer must name.
        deadline: on the clock of `time.monotonic`; asked once at least.
        pause: seconds between two requests.

    Raises:
        ClusterError: the request is not authorised, or by the deadline the predictor has not answered, or with another
            bundle, or no probabilities.
    """
    while True:
        try:
            said = _problem(predictor, film, bundle)
            if not said:
                return
        except urllib.error.HTTPError as error:
            said = f"is {error.code} {error.read(300).decode(errors='replace')}".strip()
            if error.code in _FINAL:
                raise ClusterError(f"{predictor.url} must answer the test request, the answer {said}") from error
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            said = f"is none: {error}"
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                raise ClusterError(
                    f"{predictor.url} must have a certificate of a known authority, the answer {said}; give the "
                    "authority's: ca_file of the deployment, or the variable CXR_CA_CERTIFICATE"
                ) from error
        if time.monotonic() + pause >= deadline:
            raise ClusterError(f"{predictor.url} must answer with bundle {bundle[:12]} in time, the answer {said}")
        time.sleep(pause)


def _problem(predictor: Predictor, film: bytes, bundle: str) -> str:
    """What is wrong with an answer; empty when it is as it should be."""
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(film).decode()]}
    try:
        answer = _ask(predictor, f"/v2/models/{predictor.model}/infer", {"inputs": [tensor]})
    except urllib.error.HTTPError as error:
        if error.code != _REFUSED:
            raise
        error.close()
        digest = _ask(predictor, "/model")["digest"]
    else:
        digest = answer["model_version"]
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        total = sum(outputs["probabilities"])
        if abs(total - 1) > 1e-3:
            return f"has probabilities that add up to {total:g}, not 1"
    return "" if digest == bundle else f"is of bundle {str(digest)[:12]}"


def _ask(predictor: Predictor, path: str, body: dict[str, Any] | None = None) -> Any:
    url = f"{predictor.url.rstrip('/')}{path}"
    headers = {"X-API-Key": predictor.key, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - the scheme is checked with the settings
    context = ssl.create_default_context(cadata=predictor.authority or None) if url.startswith("https:") else None
    with urllib.request.urlopen(request, timeout=_SECONDS, context=context) as response:  # noqa: S310
        return json.load(response)
