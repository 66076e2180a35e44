"""Where a predictor's log goes, and who may speak in it."""

import logging
import sys

from cxr.logs import JsonFormatter

_TALKATIVE = ("uvicorn.access", "kserve", "kserve.trace", "httpx", "httpcore", "python_multipart", "openvino")


def configure_logs(level: str) -> None:
    """Send everything to standard error as JSON; libraries that quote requests only speak of trouble."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _TALKATIVE:
        talkative = logging.getLogger(name)
        talkative.handlers.clear()
        talkative.propagate = True
        talkative.setLevel(logging.ERROR)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
