"""Reading films out of HTTP requests, in memory: an upload that spools to disk would leave a patient's image there."""

from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from cxr.serving.problems import Problem

MOST_FILMS = 10
"""Films of one batch, as the service's first version had it."""

_MULTIPART = "multipart/form-data"
_MOST_FIELDS = 16


class _InMemory(MultiPartParser):
    spool_max_size = 2**40


async def one_film(request: Request) -> bytes:
    """The bytes of the film of a request: the form's field `file`, or the whole body. A file's name is dropped.

    Raises:
        Problem: there is none, or more than one.
    """
    if _is_multipart(request):
        uploads = await _uploads(request, "file", most=1)
        if len(uploads) != 1:
            raise _invalid("the form must have one field 'file' with a film", "Send one file in the field 'file'.")
        return uploads[0]
    return await whole_body(request)


async def several_films(request: Request) -> list[bytes]:
    """The films of the form's fields `files`, in order.

    Raises:
        Problem: there are none, or more than `MOST_FILMS`.
    """
    if not _is_multipart(request):
        raise _invalid("the body must be multipart/form-data with fields 'files'", "Send a form with 1 to 10 files.")
    uploads = await _uploads(request, "files", most=MOST_FILMS)
    if not uploads:
        raise _invalid("the form must have at least one field 'files' with a film", "Send 1 to 10 files.")
    return uploads


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").split(";")[0].strip().lower() == _MULTIPART


async def whole_body(request: Request) -> bytes:
    """The body of a request.

    Raises:
        Problem: the client went away.
    """
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise _gone() from error


async def _uploads(request: Request, field: str, *, most: int) -> list[bytes]:
    parser = _InMemory(request.headers, _stream(request), max_files=most + 1, max_fields=_MOST_FIELDS)
    try:
        form = await parser.parse()
    except ClientDisconnect as error:
        raise _gone() from error
    except (MultiPartException, KeyError, ValueError, UnicodeError) as error:
        if "Too many files" in str(error):
            raise _too_many(most) from error
        raise _invalid("the form must be well-formed multipart/form-data", "Let an HTTP library write it.") from error
    try:
        files = [value for value in form.getlist(field) if isinstance(value, UploadFile)]
        if len(files) > most:
            raise _too_many(most)
        return [await file.read() for file in files]
    finally:
        await form.close()


async def _stream(request: Request) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        yield chunk


def _too_many(most: int) -> Problem:
    return Problem(
        code="too_many_films",
        status=422,
        reason=f"a request must have at most {most} films",
        what_to_do="Send the others in further requests.",
    )


def _invalid(reason: str, what_to_do: str) -> Problem:
    return Problem(code="invalid_request", status=422, reason=reason, what_to_do=what_to_do)


def _gone() -> Problem:
    return Problem(
        code="disconnected", status=400, reason="the upload ended before its end", what_to_do="Send the request again."
    )
