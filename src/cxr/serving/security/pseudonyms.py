"""Stand-ins for what may identify a patient: keyed, so that who lacks the key can neither undo nor confirm them.

A plain hash would not do: identifiers are few enough to try them all, and a film that someone has can be hashed again.
"""

import hmac
import os
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cxr.errors import ServingError
from cxr.serving.security.private import create_private, read_secret

KEY_FILE_VARIABLE = "CXR_HMAC_KEY_FILE"
"""Environment variable that names a key file made elsewhere, which is shared by the replicas of a service."""
_LEAST = 32


class Pseudonyms:
    """Makes stand-ins with one key: equal inputs have equal stand-ins wherever the key is the same."""

    def __init__(self, key: bytes) -> None:
        """Make stand-ins with a secret of at least 32 bytes.

        Raises:
            ServingError: the key is shorter.
        """
        if len(key) < _LEAST:
            raise ServingError(f"the key of pseudonyms must have at least {_LEAST} bytes, has {len(key)}")
        self._key = key

    @classmethod
    def open(cls, path: Path, *, environ: Mapping[str, str] = os.environ) -> "Pseudonyms":
        """Read the key, and make it when there is none.

        Args:
            path: of the key, made with mode 0600 when absent.
            environ: may name another file in `CXR_HMAC_KEY_FILE`, which must exist.

        Raises:
            ServingError: the file cannot be read, others can read it, or it is too short.
        """
        given = environ.get(KEY_FILE_VARIABLE)
        if given is None and not path.exists():
            create_private(path, secrets.token_hex(_LEAST).encode() + b"\n")
        return cls(read_secret(path if given is None else Path(given)).strip())

    def of_input(self, data: bytes) -> str:
        """Stand-in for the bytes of a film or a request: HMAC-SHA256, hexadecimal."""
        digest = hmac.new(self._key, b"input\0", sha256)
        digest.update(data)
        return digest.hexdigest()
