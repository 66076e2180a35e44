"""Promote a canary: watched beside the stable predictor, then it serves all requests, or goes."""

import functools
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr.contracts.deployment import (
    DEPLOYED_FILE,
    PROMOTED_FILE,
    Deployed,
    Deployment,
    Promoted,
    Traffic,
    judge_canary,
)
from cxr.contracts.files import new_folder, read_json, write_json
from cxr.errors import ClusterError, CxrError
from cxr.progress import progress

if TYPE_CHECKING:
    from cxr.adapters.inference_services import InferenceServices

logger = logging.getLogger(__name__)

_MISSED_LOOKS = 5
"""So many in a row that failed, and there will be no figures: a restart of Prometheus takes less."""


def promote_canary(*, deployed: Path, deployment: Deployment, out: Path, pause: float = 2.0) -> Promoted:
    """Watch a canary for its time, decide, and write the figures and the decision.

    It is judged at the end of the time, and before only when errors have become too many. A canary that is not promoted
    is no error: it is removed, and what was served before goes on. So does a predictor that somebody else has changed
    meanwhile, by `helm rollback` for one.

    Args:
        deployed: folder that `deploy` wrote in mode "canary".
        deployment: where, for how long and with which limits.
        out: folder to write: promoted.json.
        pause: seconds before a request that failed is made again.

    Raises:
        ClusterError: the cluster cannot be reached or refuses, another bundle has become the canary, or the promoted
            predictor does not get ready, in which case the old one serves again.
    """
    asked = read_json(deployed / DEPLOYED_FILE, Deployed)
    if asked.mode != "canary":
        raise ClusterError(f"the deployment must be a canary's, is of mode {asked.mode}; deploy with mode canary")
    promoted = _decided(asked, deployment, pause)
    with new_folder(out) as draft:
        write_json(draft / PROMOTED_FILE, promoted)
    logger.info("canary %s: %s", asked.canary, "promoted" if promoted.promoted else "; ".join(promoted.reasons))
    return promoted


def _decided(asked: Deployed, deployment: Deployment, pause: float) -> Promoted:
    from cxr.adapters import inference_service
    from cxr.adapters.inference_services import InferenceServices
    from cxr.adapters.kubernetes_api import connect

    ours, theirs = Traffic(), Traffic()
    reasons: tuple[str, ...] = ()
    with connect() as api:
        services = InferenceServices(api, asked.namespace, pause=pause)
        present = services.get(asked.name)
        if not inference_service.serves(present, asked.bundle):
            if not inference_service.is_promoted(present, asked.bundle):  # a step that was killed had decided
                inference_service.check_canary(present, digest=asked.bundle)
                ours, theirs, reasons = _watched(asked, deployment)
                reasons += _changed_beside(services.get(asked.name))
            if reasons:
                services.change(asked.name, functools.partial(inference_service.to_before, digest=asked.bundle))
            else:
                _promote(services, asked, deployment)
    return Promoted(
        name=asked.name,
        namespace=asked.namespace,
        bundle=asked.bundle,
        promoted=not reasons,
        reasons=reasons,
        canary=ours,
        stable=theirs,
    )


def _changed_beside(service: dict[str, Any]) -> tuple[str, ...]:
    """Why the figures say nothing of the predictor that stands beside the canary now; empty when they do."""
    from cxr.adapters import inference_service

    if inference_service.is_left(service):
        return ()
    return ("the predictor beside the canary must stay as it was, has been changed by somebody else",)


def _promote(services: "InferenceServices", asked: Deployed, deployment: Deployment) -> None:
    from cxr.adapters import inference_service

    services.change(asked.name, functools.partial(inference_service.to_promoted, digest=asked.bundle))
    try:
        services.wait(asked.name, deadline=time.monotonic() + deployment.timeout_seconds)
    except CxrError as error:
        words = services.last_words(asked.name)
        services.change(asked.name, functools.partial(inference_service.to_before, digest=asked.bundle))
        raise ClusterError(f"{error}; what was served before serves again. The predictor's log: {words}") from error
    services.change(asked.name, functools.partial(inference_service.to_ended, digest=asked.bundle))


def _watched(asked: Deployed, deployment: Deployment) -> tuple[Traffic, Traffic, tuple[str, ...]]:
    """Figures of canary and stable predictor at the end of the time, and what the canary breaks."""
    from cxr.adapters.prometheus import traffic

    plan, began, done, missed = deployment.canary, time.monotonic(), 0, 0
    seconds = plan.minutes * 60
    service = f"{asked.name}-api"
    with progress("watching the canary", round(seconds)) as advance:
        while True:
            left = began + seconds - time.monotonic()
            time.sleep(min(plan.poll_seconds, left) if left > 0 else plan.poll_seconds)
            past = time.monotonic() - began
            advance(min(round(past), round(seconds)) - done)
            done = min(round(past), round(seconds))
            look = functools.partial(traffic, plan.prometheus, service=service, namespace=asked.namespace, seconds=past)
            try:
                ours, theirs = look(digest=f'="{asked.bundle}"'), look(digest=f'!="{asked.bundle}"')
            except ClusterError as error:
                missed += 1
                logger.warning("no figures of the canary: %s", error)
                if past >= seconds and missed >= _MISSED_LOOKS:
                    return Traffic(), Traffic(), (f"the canary's figures must be known, are not: {error}",)
                continue
            missed = 0
            enough = ours.requests >= plan.limits.requests
            if past >= seconds or (enough and ours.errors / ours.requests > plan.limits.errors):
                return ours, theirs, judge_canary(ours, theirs, plan.limits)
