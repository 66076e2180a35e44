"""Opening what a predictor writes to: its folder of secrets and the audit trail, and the way to the drift sidecar."""

import secrets
from datetime import timedelta

from cxr.serving.audit.log import AuditLog
from cxr.serving.events import EventQueue
from cxr.serving.journal import Journal
from cxr.serving.security.private import create_private, read_secret, read_token
from cxr.serving.security.pseudonyms import Pseudonyms
from cxr.serving.settings import Settings

AUDIT_FOLDER = "audit"
AUDIT_KEY = "audit.key"
HMAC_KEY = "hmac.key"


def open_journal(settings: Settings) -> Journal:
    """The journal of a process; its keys are made in the state folder when they are not there.

    Raises:
        ServingError: the folder cannot be used, a secret is open to others, another process has the trail, or the
            bucket has no object lock.
    """
    key = settings.state / AUDIT_KEY
    create_private(key, secrets.token_hex(32).encode() + b"\n")
    keep = settings.audit_keep_local_days
    audit = AuditLog.open(
        settings.state / AUDIT_FOLDER,
        key=read_secret(key).strip(),
        bucket=settings.audit_bucket,
        retention=timedelta(days=settings.audit_retention_days),
        keep_local=None if keep is None else timedelta(days=keep),
    )
    events = EventQueue(settings.drift_url, token=read_token(settings.drift_token_file))
    return Journal(audit=audit, events=events, pseudonyms=Pseudonyms.open(settings.state / HMAC_KEY))
