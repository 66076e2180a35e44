"""The keyed chain that binds each record of a trail to the one before it.

A trail is a sequence of records, one line of JSON each. The digest that ends a line is an HMAC-SHA256 over every byte
before it, the digest of the previous record among them. Who lacks the key can neither change a record, nor take one
out, nor write another in its place without the chain showing it; what such a person can do is to cut off the end,
which is why a `Head` is kept elsewhere.
"""

import hmac
from datetime import datetime

import msgspec

from cxr.serving.audit.record import AuditError, AuditRecord

MIN_KEY_BYTES = 32

_TAIL = len(b',"digest":""}\n') + 64
_RECORDS = msgspec.json.Decoder(AuditRecord)


class Altered(Exception):  # noqa: N818 - a finding, not a failure
    """A line is no record that this chain's key has made."""


class Chain:
    """Makes and checks lines under one key.

    Attributes:
        fingerprint: tells keys apart without giving them away.
    """

    def __init__(self, key: bytes) -> None:
        """Derive the chain's own key, so that the same secret may serve elsewhere.

        Raises:
            AuditError: the key is too short.
        """
        if len(key) < MIN_KEY_BYTES:
            raise AuditError(f"the audit key must have at least {MIN_KEY_BYTES} bytes, has {len(key)}")
        self._key = hmac.digest(key, b"cxr audit chain 1", "sha256")
        self.fingerprint = hmac.digest(key, b"cxr audit key fingerprint 1", "sha256").hex()[:16]

    def line(self, *, sequence: int, time: datetime, previous: str, event: bytes) -> tuple[bytes, str]:
        """The line of a record and its digest.

        Args:
            sequence: of the record.
            time: aware.
            previous: digest of the record before.
            event: as `checked` gives it.
        """
        body = b'{"sequence":%d,"time":%s,"previous":"%s","event":%s' % (
            sequence,
            msgspec.json.encode(time),
            previous.encode(),
            event,
        )
        digest = self.digest(body)
        return b'%s,"digest":"%s"}\n' % (body, digest.encode()), digest

    def digest(self, body: bytes) -> str:
        """HMAC-SHA256 as hexadecimal."""
        return hmac.digest(self._key, body, "sha256").hex()

    def record(self, line: bytes) -> AuditRecord:
        """Read a line, its end included.

        Raises:
            Altered: a byte of it is not as it was written.
        """
        body, tail = line[:-_TAIL], line[-_TAIL:]
        if not hmac.compare_digest(tail, b',"digest":"%s"}\n' % self.digest(body).encode()):
            raise Altered
        try:
            return _RECORDS.decode(line)
        except msgspec.DecodeError as error:  # made under this key, by another version
            raise Altered from error
