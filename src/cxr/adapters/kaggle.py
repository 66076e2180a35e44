"""Data sets of Kaggle through kagglehub; the only module that imports it.

Credentials and the folder of downloads follow kagglehub's own conventions: `KAGGLE_API_TOKEN`, or `KAGGLE_USERNAME` and
`KAGGLE_KEY`, or a file in `~/.kaggle` (`KAGGLE_CONFIG_DIR`); `KAGGLEHUB_CACHE`, or `~/.cache/kagglehub`.
"""

import contextlib
import io
import logging
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from cxr.errors import SourceError

_HOW = "make a token at https://www.kaggle.com/settings and set KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY"


def download_dataset(handle: str) -> Path:
    """Folder of a data set, downloaded unless this version of it is in the cache.

    Args:
        handle: OWNER/DATASET for the newest version, OWNER/DATASET/versions/N for that one; only the latter works
            without a connection once it is in the cache.

    Raises:
        SourceError: Kaggle cannot be reached or refuses, the credentials are missing or wrong, or the disk is full.
    """
    with _quiet():
        import kagglehub
        from kagglehub.exceptions import CredentialError, DataCorruptionError, UnauthenticatedError

        _log_through_root()
        try:
            return Path(kagglehub.dataset_download(handle))
        except (CredentialError, UnauthenticatedError) as error:
            raise SourceError(f"Kaggle wants credentials for {handle}: {_HOW}") from error
        except (DataCorruptionError, zipfile.BadZipFile) as error:
            raise SourceError(f"the download of {handle} arrived damaged; run again") from error
        except OSError as error:
            raise SourceError(_failure(handle, error)) from error
        except ValueError as error:
            raise SourceError(f"{handle} could not be downloaded from Kaggle: {error}") from error


def _failure(handle: str, error: OSError) -> str:
    """What to say of an error of `requests` or of the disk."""
    if not hasattr(error, "request"):
        return f"{handle} could not be stored: {error}; make room, or set KAGGLEHUB_CACHE"
    response = getattr(error, "response", None)
    if response is None:
        return (
            f"Kaggle must be reachable to download {handle}, is not ({type(error).__name__}); check the connection. "
            "A version that is in kagglehub's cache is used without one when it is named: OWNER/DATASET/versions/N"
        )
    return _refusal(handle, response.status_code)


def _refusal(handle: str, status: int) -> str:
    from kagglehub.config import get_kaggle_credentials

    if status in (401, 403):
        if get_kaggle_credentials() is None:
            return f"Kaggle wants credentials for {handle} (HTTP {status}), none are set: {_HOW}"
        return (
            f"Kaggle refuses {handle} to these credentials (HTTP {status}); accept the terms on the data set's page, "
            f"or {_HOW}"
        )
    if status == 404:
        return f"Kaggle must have the data set {handle}, has not (HTTP 404); check OWNER/DATASET in its address"
    return f"Kaggle cannot serve {handle} now (HTTP {status}); run again later"


def _log_through_root() -> None:
    """Have kagglehub log as any library does: importing it sets up a handler that writes to standard output."""
    library = logging.getLogger("kagglehub")
    library.handlers.clear()
    library.propagate = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep standard output for the result, and progress bars off what is no terminal."""
    bars = sys.stderr if sys.stderr.isatty() else io.StringIO()
    with contextlib.redirect_stdout(sys.stderr), contextlib.redirect_stderr(bars):
        yield
