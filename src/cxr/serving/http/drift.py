"""The sidecar's report, handed on to those who ask the predictor for it."""

import logging
from typing import Any

import httpx

from cxr.serving.security.private import read_token
from cxr.serving.settings import Settings

logger = logging.getLogger(__name__)

_PATIENCE = 2.0


class DriftReport:
    """Reads the report of the sidecar that the settings name; never fails."""

    def __init__(self, settings: Settings) -> None:
        """Read the token; raises `ServingError` when it cannot be used."""
        self._url = None if settings.drift_url is None else f"{settings.drift_url.rstrip('/')}/drift_report"
        token = read_token(settings.drift_token_file)
        self._headers = {"Accept": "application/json"}
        self._headers |= {} if token is None else {"Authorization": f"Bearer {token}"}

    async def read(self) -> dict[str, Any]:
        """The sidecar's JSON, or the state `unavailable` and why."""
        if self._url is None:
            return {"state": "unavailable", "reason": "no drift sidecar is configured"}
        try:
            # the sidecar is a neighbour: no proxy may come between
            async with httpx.AsyncClient(
                headers=self._headers, timeout=_PATIENCE, trust_env=False, verify=self._url.startswith("https:")
            ) as client:
                response = await client.get(self._url)
            response.raise_for_status()
            report: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            logger.warning("the drift sidecar does not answer", extra={"reason": type(error).__name__})
            return {"state": "unavailable", "reason": "the drift sidecar does not answer"}
        return report
