"""The V2 inference protocol's request body, read strictly, with raw pictures in the REST binary extension.

KServe's own reader forces every BYTES element of a binary request to be UTF-8 and reads JSON into one Python object
for each number; this one gives the same `InferRequest` from the same bytes and raises a `Problem` that says what is
wrong. What the tensors mean is `cxr.serving.model`'s affair.

Protocol: https://github.com/kserve/open-inference-protocol; binary extension: Triton's binary tensor data extension.
"""

import base64
import binascii
import math
from collections.abc import Sequence, Sized
from typing import Annotated, Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from kserve import InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput

from cxr.serving.problems import Problem

MAX_TENSORS = 8
MAX_OUTPUTS = 32
MAX_RANK = 8
_LENGTH = 4

_Dimension = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Of a shape: JSON could state hundreds of digits, gRPC has 64 bits."""


class Shaped(Protocol):
    """An input as JSON or gRPC bring it."""

    @property
    def shape(self) -> Sized:
        """Lengths, as many as its rank."""


class _Input(msgspec.Struct):
    name: str
    shape: list[_Dimension]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Body(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


_decoder = msgspec.json.Decoder(_Body)


def invalid(reason: str) -> Problem:
    """The answer to a request that breaks the protocol."""
    return Problem(
        code="invalid_request",
        status=400,
        reason=reason,
        what_to_do="Send the request as the V2 inference protocol and the model's metadata describe it.",
    )


def read_request(body: bytes, *, model_name: str, header_length: str | None) -> InferRequest:
    """Read a REST body.

    Args:
        body: JSON, or JSON followed by the raw tensors.
        model_name: of the address.
        header_length: the header `Inference-Header-Content-Length`: length of the JSON; None when there is only JSON.

    Raises:
        Problem: the body breaks the protocol.
    """
    length = _header_length(header_length, len(body))
    try:
        parsed = _decoder.decode(memoryview(body)[:length])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"the body must be an inference request in JSON: {_plain(error)}") from error
    check_counts(parsed.inputs, parsed.outputs or ())
    inputs, end = [], length
    for place, tensor in enumerate(parsed.inputs):
        made, end = _input(tensor, place, body, end)
        inputs.append(made)
    if end != len(body):
        raise invalid(f"the binary tensors must end with the body: {len(body) - end} bytes are left")
    return InferRequest(
        model_name=model_name,
        infer_inputs=inputs,
        request_id=parsed.id,
        parameters=parsed.parameters,
        request_outputs=_requested(parsed),
    )


def check_counts(inputs: Sequence[Shaped], outputs: Sized) -> None:
    """Refuse a request of more parts than any model here has, before anything is made of them.

    Raises:
        Problem: it has too many inputs or outputs, or an input has too many lengths in its shape.
    """
    if len(inputs) > MAX_TENSORS:
        raise invalid(f"a request must have at most {MAX_TENSORS} inputs, has {len(inputs)}")
    if len(outputs) > MAX_OUTPUTS:
        raise invalid(f"a request must ask for at most {MAX_OUTPUTS} outputs, asks for {len(outputs)}")
    for place, tensor in enumerate(inputs):
        if len(tensor.shape) > MAX_RANK:
            raise invalid(f"input {place} must have a shape of rank {MAX_RANK} at most, has rank {len(tensor.shape)}")


def byte_elements(tensor: InferInput, *, most: int) -> list[bytes]:
    """The elements of a BYTES tensor: raw (gRPC, binary extension), or base64 in JSON.

    Args:
        tensor: of datatype BYTES and a name that the model knows: it is quoted.
        most: elements that are accepted.

    Raises:
        Problem: the shape is not [n], the data does not fit it, or is no base64.
    """
    count = _length(tensor, most)
    raw, data = raw_content(tensor), tensor.data
    if raw is not None:
        elements = _unpacked(raw, most)
    elif isinstance(data, list):
        elements = [_element(value, tensor.name) for value in data[: most + 1]]
    else:
        raise invalid(f"input '{tensor.name}' must have data")
    if count != len(elements):
        raise invalid(f"input '{tensor.name}' must have as many elements as its shape says")
    return elements


def float_array(tensor: InferInput, *, shape: tuple[int, ...], most: int) -> npt.NDArray[np.float32]:
    """An FP32 tensor [n, *shape] of a name that the model knows: it is quoted.

    Raises:
        Problem: shape or data are others, or a value is not finite.
    """
    stated = tuple(tensor.shape)
    if len(stated) != len(shape) + 1 or stated[1:] != shape or not 1 <= stated[0] <= most:
        raise invalid(f"input '{tensor.name}' must have shape [n, {', '.join(map(str, shape))}], n from 1 to {most}")
    raw = raw_content(tensor)
    try:
        values = np.frombuffer(raw, "<f4") if raw is not None else _numbers(tensor.data)
    except (ValueError, TypeError, OverflowError) as error:
        raise invalid(f"input '{tensor.name}' must hold numbers") from error
    if values.size != math.prod(stated):
        raise invalid(f"input '{tensor.name}' must have {math.prod(stated)} values, has {values.size}")
    if not np.isfinite(values).all():
        raise invalid(f"input '{tensor.name}' must be finite")
    return values.reshape(stated).astype(np.float32, copy=False)


def raw_content(tensor: InferInput) -> bytes | None:
    """Raw bytes of a tensor where it came in binary, for which KServe has no public accessor."""
    raw: bytes | None = tensor._raw_data
    return raw


def _numbers(data: object) -> npt.NDArray[np.float32]:
    """Numbers of JSON, flat; those that are too large for a float become infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(data, np.float64).ravel().astype(np.float32)


def _header_length(text: str | None, size: int) -> int:
    if text is None:
        return size
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= size):
        raise invalid("Inference-Header-Content-Length must be the length of the JSON at the start of the body")
    return int(text)


def _requested(body: _Body) -> list[RequestedOutput] | None:
    """The outputs asked for by name; KServe would forget the request's own `binary_data_output` for them."""
    if not body.outputs:
        return None
    default = {"binary_data": (body.parameters or {}).get("binary_data_output", False)}
    return [RequestedOutput(output.name, default | (output.parameters or {})) for output in body.outputs]


def _input(tensor: _Input, place: int, body: bytes, start: int) -> tuple[InferInput, int]:
    """A tensor and the end of its raw bytes; its name, whatever it may be, is not quoted."""
    made = InferInput(tensor.name, tensor.shape, tensor.datatype.upper(), parameters=tensor.parameters)
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(body) - start:
            raise invalid(f"binary_data_size of input {place} must be the number of its bytes in the body")
        made._raw_data = body[start : start + size]
        return made, start + size
    if tensor.data is msgspec.UNSET:
        raise invalid(f"input {place} must have data, in JSON or as binary_data_size bytes after it")
    try:
        kind = list[str] if tensor.datatype.upper() == "BYTES" else list[Any]
        data = msgspec.json.decode(tensor.data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid(f"data of input {place} must be a list: {_plain(error)}") from error
    return InferInput(tensor.name, tensor.shape, made.datatype, data=data, parameters=tensor.parameters), start


def _unpacked(raw: bytes, most: int) -> list[bytes]:
    """Elements of a raw BYTES tensor: each is preceded by its length, 4 bytes, little endian."""
    elements: list[bytes] = []
    at = 0
    while at < len(raw):
        end = at + _LENGTH + int.from_bytes(raw[at : at + _LENGTH], "little")
        if at + _LENGTH > len(raw) or end > len(raw) or len(elements) > most:
            raise invalid("a raw BYTES tensor must be elements that are each preceded by their length in 4 bytes")
        elements.append(raw[at + _LENGTH : end])
        at = end
    return elements


def _element(value: object, name: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise invalid(f"data of input '{name}' must be base64 strings")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"data of input '{name}' must be base64 (RFC 4648, with padding)") from error


def _length(tensor: InferInput, most: int) -> int:
    """Of a tensor of shape [n]. The rank comes first: nothing is computed of lengths that a client may state freely."""
    rank = len(tensor.shape)
    if rank != 1:
        raise invalid(f"input '{tensor.name}' must have a shape of rank 1, has rank {rank}")
    length: int = tensor.shape[0]
    if not 0 <= length <= most:
        raise invalid(f"input '{tensor.name}' must have at most {most} elements; send several requests")
    return length


def _plain(error: Exception) -> str:
    """What msgspec says, without what the client sent."""
    return str(error).split(" - at ")[0] if isinstance(error, msgspec.ValidationError) else "malformed JSON"
