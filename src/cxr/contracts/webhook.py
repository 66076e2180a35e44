"""How drift alerts are signed, so that their receiver knows who sent them.

The signature is `sha256=` and the HMAC-SHA256, hexadecimal, of the timestamp (seconds since 1970), a full stop and the
body.
"""

import hashlib
import hmac

TIMESTAMP = "X-CXR-Timestamp"
INCIDENT = "X-CXR-Incident"
SIGNATURE = "X-CXR-Signature"

MOST_AGE = 300.0
"""Seconds by which the clocks of sender and receiver, and the way between them, may differ."""


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """Value of the header `SIGNATURE`."""
    return f"sha256={hmac.new(secret, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def is_signed(secret: bytes, *, timestamp: str, body: bytes, signature: str, now: float) -> bool:
    """Whether a body was signed with the secret, not too long ago; takes the same time for any wrong signature.

    >>> is_signed(b"s", timestamp="1000", body=b"{}", signature=sign(b"s", "1000", b"{}"), now=1010.0)
    True
    >>> is_signed(b"s", timestamp="1000", body=b"{}", signature=sign(b"s", "1000", b"{}"), now=9000.0)
    False
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 20):
        return False
    fresh = abs(now - int(timestamp)) <= MOST_AGE
    return hmac.compare_digest(signature.encode(), sign(secret, timestamp, body).encode()) and fresh
