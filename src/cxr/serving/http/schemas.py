"""What `/openapi.json` says of bodies that the routes read and write themselves."""

from typing import Any

from cxr.errors import REJECTION_CODES

Schema = dict[str, Any]

_BINARY: Schema = {"type": "string", "format": "binary"}
_TEXT: Schema = {"type": "string"}
_YES_NO: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_PICTURES = ("image/png", "image/jpeg", "application/dicom", "application/octet-stream")


def _object(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _json(schema: Schema, description: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _form(field: str, value: Schema) -> Schema:
    return {"multipart/form-data": {"schema": _object({field: value})}}


_PROBLEM = _object({"request_id": _TEXT, "code": _TEXT, "reason": _TEXT, "what_to_do": _TEXT})
PROBLEMS: dict[int | str, Schema] = {
    400: _json(_PROBLEM, "The request is malformed"),
    401: _json(_PROBLEM, "No API key, or none that is known"),
    403: _json(_PROBLEM, "The key lacks the scope"),
    404: _json(_PROBLEM, "There is no such thing"),
    408: _json(_PROBLEM, "The request took too long to arrive"),
    413: _json(_PROBLEM, "The request or the film is too large"),
    415: _json(_PROBLEM, "The file is of a format that is not read"),
    422: _json(_PROBLEM, f"The film is refused: {', '.join(REJECTION_CODES)}; or a parameter is out of range"),
    429: _json(_PROBLEM, "The key's rate is exceeded"),
    503: _json(_PROBLEM, "Too much is waiting, or the service is starting or ending; see Retry-After"),
}

ONE_FILM: Schema = {
    "requestBody": {
        "required": True,
        "content": {**_form("file", _BINARY), **{kind: {"schema": _BINARY} for kind in _PICTURES}},
    }
}
SEVERAL_FILMS: Schema = {
    "requestBody": {
        "required": True,
        "content": _form("files", {"type": "array", "items": _BINARY, "minItems": 1, "maxItems": 10}),
    }
}

_CLASSIFIED: Schema = _object(
    {
        "request_id": _TEXT,
        "outcome": {"const": "classified"},
        "bundle": _TEXT,
        "probabilities": {"type": "object", "additionalProperties": _SHARE},
        "decision": _TEXT,
        "confidence": _SHARE,
        "operating_points": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "distance": _NUMBER,
        "out_of_distribution": {"type": "boolean"},
        "referred": {"type": "array", "items": {"enum": ["low_confidence", "out_of_distribution"]}},
        "activation": _object({"finding": _TEXT, "x": _NUMBER, "y": _NUMBER}),
        "prediction_set": {"type": ["array", "null"], "items": _TEXT},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
    }
)
_REFUSED = _object({"outcome": {"const": "refused"}, "code": _TEXT, "reason": _TEXT, "what_to_do": _TEXT})

CLASSIFIED: dict[int | str, Schema] = {200: _json(_CLASSIFIED, "What the model says of the film")}
BATCH: dict[int | str, Schema] = {
    200: _json(
        _object({"request_id": _TEXT, "results": {"type": "array", "items": {"anyOf": [_CLASSIFIED, _REFUSED]}}}),
        "One result a film, in the order of the films",
    )
}
PICTURE: dict[int | str, Schema] = {200: {"description": "A picture", "content": {"image/png": {"schema": _BINARY}}}}
HEALTH: dict[int | str, Schema] = {
    200: _json(
        _object({"status": {"const": "ok"}, "bundle": _TEXT, "backend": _TEXT, "key_required": _YES_NO}),
        "Requests are wanted",
    ),
    503: _json(
        _object({"status": {"enum": ["loading", "draining"]}, "key_required": _YES_NO}), "Requests are not wanted now"
    ),
}
READY: dict[int | str, Schema] = {503: _json(_object({"ready": {"const": False}}), "Requests are not wanted now")}
MODEL: dict[int | str, Schema] = {
    200: _json(
        _object(
            {
                "name": _TEXT,
                "digest": _TEXT,
                "findings": {"type": "array", "items": _TEXT},
                "architecture": _TEXT,
                "backend": _TEXT,
                "preprocessing": {"type": "object"},
                "temperature": _NUMBER,
                "refer_below": _NUMBER,
                "prediction_sets": {"type": ["object", "null"]},
                "operating_points": {"type": "array", "items": {"type": "object"}},
                "out_of_distribution": {"type": "object"},
                "provenance": {"type": "object"},
                "card": _TEXT,
            }
        ),
        "The model",
    )
}
DRIFT: dict[int | str, Schema] = {
    200: _json(_object({"state": _TEXT, "reason": _TEXT}, optional=("reason",)), "The drift sidecar's report")
}

_TENSOR = _object(
    {
        "name": {"enum": ["image", "films"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"enum": ["BYTES", "FP32"]},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
    optional=("parameters", "data"),
)
_REQUEST = _object(
    {
        "id": _TEXT,
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
        "outputs": {"type": "array", "items": _object({"name": _TEXT})},
    },
    optional=("id", "parameters", "outputs"),
)
INFER: Schema = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _REQUEST}, "application/octet-stream": {"schema": _BINARY}},
    }
}
