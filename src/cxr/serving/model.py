"""The model that KServe serves: V2 tensors to films and answers to V2 tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model

from cxr.contracts.bundle import BundleManifest
from cxr.serving.caller import CALLER
from cxr.serving.service import Answer, Service, gathered
from cxr.serving.v2 import byte_elements, float_array, invalid

IMAGE, FILMS = "image", "films"
MOST_FILMS = 64
"""Films of one request: as many as wait for the network at most make four batches."""

_DEFAULT = ("probabilities", "decision", "confidence", "referred", "out_of_distribution_score")

Array = npt.NDArray[Any]


class CxrModel(Model):  # type: ignore[misc]  # KServe is untyped
    """The service under KServe's data plane, for REST and gRPC alike."""

    def __init__(self, service: Service) -> None:
        super().__init__(service.settings.model_name)
        self._service = service

    async def healthy(self) -> bool:
        """Whether requests are wanted now."""
        return self._service.ready

    def get_input_types(self) -> list[dict[str, Any]]:
        """The two inputs, of which a request has one."""
        side = self._service.loaded.bundle.manifest.preprocessing.size
        return [
            {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
            {"name": FILMS, "datatype": "FP32", "shape": [-1, 1, side, side]},
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Every output; those that are not sent unless asked for by name come last."""
        manifest = self._service.loaded.bundle.manifest
        return [{"name": name, **_OUTPUTS[name].declared(manifest)} for name in _OUTPUTS]

    async def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
        """Answer one request; all of its films or none.

        Raises:
            Problem: the request breaks the protocol, a film is refused, or the service cannot answer now.
        """
        if not isinstance(payload, InferRequest):
            raise invalid("only the V2 protocol is served")
        wanted = _wanted(payload)
        answers = await self._answers(payload)
        manifest = answers[0].loaded.bundle.manifest
        return InferResponse(
            response_id=payload.id or CALLER.get().request_id,
            model_name=self.name,
            model_version=answers[0].loaded.bundle.digest,
            infer_outputs=[_output(name, manifest, answers, payload) for name in wanted],
            parameters={"request_id": CALLER.get().request_id},
            from_grpc=payload.from_grpc,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    async def _answers(self, payload: InferRequest) -> Sequence[Answer]:
        if len(payload.inputs) != 1:
            raise invalid(f"a request must have one input, '{IMAGE}' or '{FILMS}', has {len(payload.inputs)}")
        (tensor,) = payload.inputs
        if (tensor.name, tensor.datatype) == (IMAGE, "BYTES"):
            return await gathered(self._service.classify(film) for film in self._elements(tensor))
        if (tensor.name, tensor.datatype) == (FILMS, "FP32"):
            side = self._service.loaded.bundle.manifest.preprocessing.size
            films = float_array(tensor, shape=(1, side, side), most=MOST_FILMS)
            return await self._service.classify_tensor(films[:, 0])
        raise invalid(f"the input must be '{IMAGE}' of BYTES or '{FILMS}' of FP32")

    def _elements(self, tensor: InferInput) -> list[bytes]:
        elements = byte_elements(tensor, most=MOST_FILMS)
        if not elements:
            raise invalid(f"input '{IMAGE}' must have at least one film")
        return elements


class _Output:
    """How one output is declared and made."""

    def __init__(
        self,
        datatype: str,
        shape: Callable[[BundleManifest], tuple[int, ...]],
        value: Callable[[BundleManifest, Answer], Any],
    ) -> None:
        self.datatype = datatype
        self._shape = shape
        self._value = value

    def declared(self, manifest: BundleManifest) -> dict[str, Any]:
        """Datatype and shape; -1 is the batch."""
        return {"datatype": self.datatype, "shape": [-1, *self._shape(manifest)]}

    def array(self, manifest: BundleManifest, answers: Sequence[Answer]) -> Array:
        """Values for all films."""
        kind = {"FP32": np.float32, "BOOL": np.bool_, "BYTES": np.object_}[self.datatype]
        values = [self._value(manifest, answer) for answer in answers]
        return np.array(values, dtype=kind).reshape(len(answers), *self._shape(manifest))


def _scalar(_manifest: BundleManifest) -> tuple[int, ...]:
    return ()


def _per_finding(manifest: BundleManifest) -> tuple[int, ...]:
    return (len(manifest.findings),)


def _graph_output(name: str) -> Callable[[BundleManifest], tuple[int, ...]]:
    def shape(manifest: BundleManifest) -> tuple[int, ...]:
        return next(spec.shape[1:] for spec in manifest.outputs if spec.name == name)

    return shape


def _prediction_set(manifest: BundleManifest) -> tuple[int, ...]:
    """One a finding; none where the bundle has no limits for it."""
    return (len(manifest.findings) if manifest.calibration.prediction_sets else 0,)


def _in_prediction_set(manifest: BundleManifest, answer: Answer) -> list[bool]:
    held = answer.prediction.prediction_set
    return [] if held is None else [finding in held for finding in manifest.findings]


_OUTPUTS = {
    "probabilities": _Output(
        "FP32", _per_finding, lambda manifest, answer: [answer.prediction.probabilities[f] for f in manifest.findings]
    ),
    "decision": _Output("BYTES", _scalar, lambda _, answer: answer.prediction.decision.encode()),
    "confidence": _Output("FP32", _scalar, lambda _, answer: answer.prediction.confidence),
    "referred": _Output("BOOL", _scalar, lambda _, answer: bool(answer.prediction.referred)),
    "out_of_distribution_score": _Output(
        "FP32",
        _scalar,
        lambda manifest, answer: answer.prediction.distance / manifest.out_of_distribution.limit,
    ),
    "referral_reasons": _Output("BYTES", _scalar, lambda _, answer: ",".join(answer.prediction.referred).encode()),
    "prediction_set": _Output("BOOL", _prediction_set, _in_prediction_set),
    "operating_points": _Output(
        "BOOL",
        lambda manifest: (len(manifest.calibration.operating_points),),
        lambda manifest, answer: [
            answer.prediction.operating_points[point.key] for point in manifest.calibration.operating_points
        ],
    ),
    "activation_map": _Output("FP32", _graph_output("maps"), lambda _, answer: answer.outputs.maps),
    "embedding": _Output("FP32", _graph_output("embedding"), lambda _, answer: answer.outputs.embedding),
}


def _wanted(payload: InferRequest) -> list[str]:
    """Names of the outputs to send."""
    if not payload.request_outputs:
        return list(_DEFAULT)
    names = [output.name for output in payload.request_outputs]
    if unknown := set(names) - _OUTPUTS.keys():
        raise invalid(f"outputs must be of {', '.join(_OUTPUTS)}; {len(unknown)} of those asked for are not")
    if repeated := len(names) - len(set(names)):
        raise invalid(f"outputs must be asked for once each; {repeated} of those asked for are repeated")
    return names


def _output(name: str, manifest: BundleManifest, answers: Sequence[Answer], payload: InferRequest) -> InferOutput:
    """One output; KServe chooses between JSON and binary for REST, and stumbles over arrays for gRPC."""
    output = _OUTPUTS[name]
    values = output.array(manifest, answers)
    made = InferOutput(name, list(values.shape), output.datatype, data=values)
    if payload.from_grpc:
        made.set_data_from_numpy(values, binary_data=payload.use_binary_outputs)
    return made
