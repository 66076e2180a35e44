"""The sidecar's report, handed on to those who ask the predictor for it."""

import logging
from typing import Any

import httpx

from cxr.serving.security.private import read_token
from cxr.serving.settings import Settings
from cxr.serving.sidecar_client import sidecar_client

logger = logging.getLogger(__name__)

_PATIENCE = 2.0


class DriftReport:
    """Reads the report of the sidecar that the settings name; never fails."""

    def __init__(self, settings: Settings) -> None:
        """Read the token; raises `ServingError` when it cannot be used."""
        self._url, self._token = settings.drift_url, read_token(settings.drift_token_file)

    async def read(self) -> dict[str, Any]:
        """The sidecar's JSON, or the state `unavailable` and why."""
        if self._url is None:
            return {"state": "unavailable", "reason": "no drift sidecar is configured"}
        try:
            accepted = {"Accept": "application/json"}
            async with sidecar_client(self._url, token=self._token, timeout=_PATIENCE, headers=accepted) as client:
                response = await client.get("/drift_report")
            response.raise_for_status()
            report: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            logger.warning("the drift sidecar does not answer", extra={"reason": type(error).__name__})
            return {"state": "unavailable", "reason": "the drift sidecar does not answer"}
        return report
