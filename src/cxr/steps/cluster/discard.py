"""What a step does with the object that it made, when it has what it wanted of it."""

import logging
from collections.abc import Callable

from cxr.errors import CxrError

logger = logging.getLogger(__name__)


def discard(delete: Callable[[str], None], name: str, *, noun: str, keep: bool) -> None:
    """Delete an object of the cluster with all that it made, also what still runs, unless it is to be kept.

    What became of the object matters more than that it is gone: a cluster that refuses is warned of, and no error.
    """
    if keep:
        return
    try:
        delete(name)
    except CxrError as error:
        logger.warning("the %s %s is left in the cluster: %s", noun, name, error)
