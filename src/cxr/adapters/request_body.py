"""The body of an HTTP request, up to a size."""

from starlette.requests import Request


async def read_body(request: Request, *, most: int) -> bytes | None:
    """The body; None as soon as it is longer than `most` bytes, whatever its headers say of it.

    Raises:
        ClientDisconnect: the connection ended before the body did.
    """
    parts = bytearray()
    async for chunk in request.stream():
        parts += chunk
        if len(parts) > most:
            return None
    return bytes(parts)
