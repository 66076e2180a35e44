"""The sidecar's report, handed on to those who ask the predictor for it."""

import logging
from typing import Any

import httpx

from cxr.serving.settings import Settings

logger = logging.getLogger(__name__)

_PATIENCE = 2.0


class DriftReport:
    """Reads the report of the sidecar that the settings name; never fails."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.drift_url
        token = settings.drift_token_file
        self._headers = {} if token is None else {"Authorization": f"Bearer {token.read_text().strip()}"}

    async def read(self) -> dict[str, Any]:
        """The sidecar's JSON, or the state `unavailable` and why."""
        if self._url is None:
            return {"state": "unavailable", "reason": "no drift sidecar is configured"}
        try:
            async with httpx.AsyncClient(timeout=_PATIENCE, headers=self._headers) as client:
                response = await client.get(f"{self._url}/drift_report", headers={"Accept": "application/json"})
            response.raise_for_status()
            report: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            logger.warning("the drift sidecar does not answer", extra={"reason": type(error).__name__})
            return {"state": "unavailable", "reason": "the drift sidecar does not answer"}
        return report
