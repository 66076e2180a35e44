"""The predictor's way to the drift sidecar."""

from collections.abc import Mapping

import httpx


def sidecar_client(url: str, *, token: str | None, timeout: float, headers: Mapping[str, str]) -> httpx.AsyncClient:
    """A client for paths of the sidecar, which is a neighbour: no proxy may come between.

    Args:
        url: of the sidecar, without a path.
        token: that the sidecar asks for.
        timeout: seconds for each part of a request.
        headers: of every request.
    """
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(
        base_url=url,
        headers={**headers, **bearer},
        timeout=timeout,
        trust_env=False,
        verify=url.startswith("https:"),
    )
