"""Where a predictor's log goes, and who may speak in it."""

import logging

from cxr.logs import log_as_json

_TALKATIVE = ("uvicorn.access", "kserve", "kserve.trace", "httpx", "httpcore", "python_multipart", "openvino")


def configure_logs(level: str) -> None:
    """Send everything to standard error as JSON; libraries that quote requests only speak of trouble."""
    log_as_json(level)
    for name in _TALKATIVE:
        talkative = logging.getLogger(name)
        talkative.handlers.clear()
        talkative.propagate = True
        talkative.setLevel(logging.ERROR)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
