"""The routes: the service's own, and KServe's endpoints of the V2 protocol."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.staticfiles import StaticFiles
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.rest.server import metrics_handler
from kserve.protocol.rest.v2_endpoints import V2Endpoints

from cxr import __version__
from cxr.contracts.bundle import Bundle
from cxr.serving.caller import CALLER
from cxr.serving.http import schemas
from cxr.serving.http.docs import add_docs
from cxr.serving.http.drift import DriftReport
from cxr.serving.http.films import one_film, several_films, whole_body
from cxr.serving.http.pictures import Format, heat_map, png
from cxr.serving.model import CxrModel
from cxr.serving.problems import Problem
from cxr.serving.service import Answer, Service
from cxr.serving.v2 import read_request

_WEB = Path(__file__).parents[1] / "web"
_JSON_LENGTH = "Inference-Header-Content-Length"
_DESCRIPTION = "Chest X-ray classification (Normal / Pneumonia / Tuberculosis). Not for diagnosis."


def add_routes(service: Service, plane: DataPlane) -> FastAPI:
    """An application with all routes."""
    app = FastAPI(title="cxr", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    add_docs(app)
    app.include_router(_films(service))
    app.include_router(_about(service))
    app.include_router(_protocol(service, plane))
    app.include_router(_admin(service))
    app.mount("/static", StaticFiles(directory=_WEB), name="static")
    return app


def answered(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON of a contract or of plain values."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def unknown_model() -> Problem:
    """The answer to a request for a model that is not served."""
    return Problem("model_not_found", 404, "there is no such model", "GET /v2/models lists those that there are.")


def _films(service: Service) -> APIRouter:
    router = APIRouter(tags=["films"], responses=schemas.PROBLEMS)

    @router.post("/predict", openapi_extra=schemas.ONE_FILM, responses=schemas.CLASSIFIED)
    async def predict(request: Request) -> Response:
        """Classify one film."""
        answer = await service.classify(await one_film(request))
        return answered(_described(answer))

    @router.post("/batch_predict", openapi_extra=schemas.SEVERAL_FILMS, responses=schemas.BATCH)
    async def batch_predict(request: Request) -> Response:
        """Classify up to 10 films; one that is refused stops no other."""
        films = await several_films(request)
        results = await asyncio.gather(*(_described_or_refused(service, film) for film in films))
        return answered({"request_id": CALLER.get().request_id, "results": results})

    @router.post("/explain", openapi_extra=schemas.ONE_FILM, responses=schemas.PICTURE)
    async def explain(
        request: Request,
        finding: Annotated[str | None, Query(description="Whose evidence; the decision's by default.")] = None,
        opacity: Annotated[float, Query(ge=0, le=1, description="Of the strongest evidence.")] = 0.6,
        format: Annotated[Format, Query(description="`overlay`: on the film; `map`: alone, transparent.")] = "overlay",
    ) -> Response:
        """Where the evidence for a finding lies, as a PNG."""
        answer = await service.classify(await one_film(request), again=True)
        findings = answer.loaded.bundle.manifest.findings
        chosen = answer.prediction.decision if finding is None else finding
        if chosen not in findings:
            raise _unknown_finding(findings)
        picture = await asyncio.to_thread(heat_map, answer, findings.index(chosen), opacity=opacity, form=format)
        headers = {"X-CXR-Finding": chosen, "X-CXR-Bundle": answer.loaded.bundle.digest}
        return Response(picture, 200, headers, media_type="image/png")

    @router.post("/preview", openapi_extra=schemas.ONE_FILM, responses=schemas.PICTURE)
    async def preview(request: Request) -> Response:
        """The film as it is read, as a PNG: browsers do not show DICOM."""
        prepared = await service.prepare(await one_film(request))
        return Response(await asyncio.to_thread(png, prepared.stored), media_type="image/png")

    return router


def _about(service: Service) -> APIRouter:
    router = APIRouter(tags=["about"])
    drift = DriftReport(service.settings)

    @router.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response((_WEB / "index.html").read_bytes(), media_type="text/html")

    @router.get("/health", responses=schemas.HEALTH)
    async def health() -> Response:
        """Whether requests are wanted, and the bundle that answers them."""
        needed = {"key_required": service.settings.keys is not None}
        if service.draining or not service.ready:
            return answered({"status": "draining" if service.draining else "loading", **needed}, 503)
        loaded = service.loaded
        return answered({"status": "ok", "bundle": loaded.bundle.digest, "backend": loaded.backend_name, **needed})

    router.add_api_route("/metrics", metrics_handler, methods=["GET"], include_in_schema=False)

    @router.get("/model", responses=schemas.MODEL)
    async def model() -> Response:
        """The model card, the operating points, and where the bundle comes from."""
        loaded = service.loaded
        described = _model(loaded.bundle, service.settings.model_name)
        return answered({**described, "backend": loaded.backend_name, "card": loaded.card})

    @router.get("/drift_report", responses=schemas.DRIFT)
    async def drift_report() -> Response:
        """What the drift sidecar says of the latest films."""
        return answered(await drift.read())

    return router


def _protocol(service: Service, plane: DataPlane) -> APIRouter:
    router = APIRouter(tags=["V2"], prefix="/v2")
    kserve = V2Endpoints(plane)
    for path, endpoint in {
        "": kserve.metadata,
        "/health/live": kserve.live,
        "/models": kserve.models,
        "/models/{model_name}/ready": kserve.model_ready,
        "/models/{model_name}": kserve.model_metadata,
    }.items():
        router.add_api_route(path, endpoint, methods=["GET"], responses=schemas.PROBLEMS)

    @router.get("/health/ready", responses=schemas.READY)
    async def ready() -> Response:
        """Whether requests are wanted now."""
        return answered({"ready": service.ready}, 200 if service.ready else 503)

    @router.post("/models/{model_name}/infer", openapi_extra=schemas.INFER, responses=schemas.PROBLEMS)
    async def infer(request: Request, model_name: str) -> Response:
        """Inference by the V2 protocol, JSON or the binary tensor data extension."""
        model = plane.model_registry.get_model(model_name)
        if not isinstance(model, CxrModel):
            raise unknown_model()
        asked = read_request(
            await whole_body(request), model_name=model_name, header_length=request.headers.get(_JSON_LENGTH)
        )
        response, _ = await plane.infer(model_name=model_name, request=asked)
        content, length = response.to_rest()
        if length is None:
            return answered(content)
        headers = {_JSON_LENGTH: str(length)}
        return Response(content, 200, headers, media_type="application/octet-stream")

    return router


def _admin(service: Service) -> APIRouter:
    router = APIRouter(tags=["admin"], responses=schemas.PROBLEMS)

    @router.post("/admin/reload")
    async def reload() -> Response:
        """Read the bundle again, without losing a request."""
        return answered({"bundle": await service.reload()})

    @router.post("/v2/repository/models/{model_name}/load")
    async def load(model_name: str) -> Response:
        """The same by the V2 protocol's repository extension."""
        if model_name != service.settings.model_name:
            raise unknown_model()
        await service.reload()
        return answered({"name": model_name, "load": True})

    @router.get("/audit/head")
    async def audit_head() -> Response:
        """Sequence and digest of the last record: kept elsewhere, they show when the trail's end was cut off."""
        return answered(service.journal.audit_status())

    return router


def _described(answer: Answer) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(answer.prediction)
    del values["file"]
    return {
        "request_id": CALLER.get().request_id,
        **values,
        "width": answer.prepared.width,
        "height": answer.prepared.height,
    }


async def _described_or_refused(service: Service, film: bytes) -> dict[str, Any]:
    try:
        return _described(await service.classify(film))
    except Problem as problem:
        if problem.status >= 500:
            raise
        return {
            "outcome": "refused",
            "code": problem.code,
            "reason": problem.reason,
            "what_to_do": problem.what_to_do,
        }


def _model(bundle: Bundle, name: str) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "name": name,
        "digest": bundle.digest,
        "findings": manifest.findings,
        "architecture": manifest.architecture,
        "preprocessing": manifest.preprocessing,
        "temperature": manifest.calibration.temperature,
        "refer_below": manifest.calibration.refer_below,
        "prediction_sets": manifest.calibration.prediction_sets,
        "operating_points": [
            {
                "key": point.key,
                "finding": point.finding,
                "name": point.name,
                "target": point.target,
                "threshold": point.threshold,
                "sensitivity": point.validation_sensitivity,
                "specificity": point.validation_specificity,
            }
            for point in manifest.calibration.operating_points
        ],
        "out_of_distribution": manifest.out_of_distribution,
        "provenance": manifest.provenance,
    }


def _unknown_finding(findings: tuple[str, ...]) -> Problem:
    return Problem(
        code="unknown_finding",
        status=422,
        reason=f"the finding must be one of {', '.join(findings)}",
        what_to_do="Leave it out to see the decision's.",
    )
