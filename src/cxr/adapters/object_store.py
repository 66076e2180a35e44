"""Objects of any S3 store (AWS, MinIO, SeaweedFS, Ceph, …); the only module that imports the minio client."""

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.error import InvalidResponseError, MinioException, S3Error
from minio.retention import Retention
from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError, ReadTimeoutError

from cxr.errors import SourceError

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0

_TRANSIENT = (429, 500, 502, 503, 504)
_CHUNK = 1 << 20
_MEANINGS = {
    "NoSuchBucket": "there is no such bucket; check its name",
    "NoSuchKey": "an object is gone; run again",
    "AccessDenied": "these credentials may not do this; check the policy of the bucket and the user",
    "ObjectLockConfigurationNotFoundError": "the bucket must have object lock, which is chosen when a bucket is made; "
    "make another with it",
    "InvalidAccessKeyId": "the access key is not known there; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret does not fit the access key; check AWS_SECRET_ACCESS_KEY",
    "RequestTimeTooSkewed": "the clocks of this machine and of the store differ; set the time",
    "AuthorizationHeaderMalformed": "the store is in another region; check AWS_REGION",
    "PermanentRedirect": "the bucket is in another region; check AWS_REGION and AWS_ENDPOINT_URL",
}


@dataclass(frozen=True, kw_only=True)
class ObjectStoreConfig:
    """How to reach a store. Without keys only what is public can be read.

    Attributes:
        endpoint: URL of the store, http or https, without a path.
        region: None to ask the store.
        ca_bundle: file of certificates to trust, PEM; None for those of certifi.
    """

    endpoint: str
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            raise SourceError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set both or neither, one is missing")
        url = urlsplit(self.endpoint)
        if "@" in url.netloc:
            raise SourceError(
                f"the endpoint of an object store must hold no credentials, that at {url.hostname} does; "
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if url.scheme not in ("http", "https") or not url.hostname or url.path.strip("/"):
            raise SourceError(
                f"the endpoint of an object store must be a URL such as https://s3.example.org, is {self.endpoint!r}; "
                "set AWS_ENDPOINT_URL"
            )
        if self.ca_bundle is not None and not self.ca_bundle.is_file():
            raise SourceError(f"AWS_CA_BUNDLE must name a file of certificates, names {self.ca_bundle}")

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "ObjectStoreConfig":
        """Read the variables that S3 tools share; an empty one counts as not set.

        `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or `S3_ENDPOINT` (host:port alone is https, or http where
        `S3_USE_HTTPS` is 0; default AWS), `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
        `AWS_REGION` or `AWS_DEFAULT_REGION`, `AWS_CA_BUNDLE` or `SSL_CERT_FILE`.

        Raises:
            SourceError: they contradict each other, or the endpoint is no URL.
        """

        def first(*names: str) -> str | None:
            return next((value for name in names if (value := env.get(name, "").strip())), None)

        endpoint = first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT") or "https://s3.amazonaws.com"
        if "://" not in endpoint:
            plain = env.get("S3_USE_HTTPS", "1").strip().lower() in ("0", "false", "no")
            endpoint = f"{'http' if plain else 'https'}://{endpoint}"
        bundle = first("AWS_CA_BUNDLE", "SSL_CERT_FILE")
        return cls(
            endpoint=endpoint.rstrip("/"),
            access_key=first("AWS_ACCESS_KEY_ID"),
            secret_key=first("AWS_SECRET_ACCESS_KEY"),
            session_token=first("AWS_SESSION_TOKEN"),
            region=first("AWS_REGION", "AWS_DEFAULT_REGION"),
            ca_bundle=None if bundle is None else Path(bundle),
        )


@dataclass(frozen=True)
class StoredObject:
    """An object as the store lists it: bytes, and the tag that changes with its content."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """One version of an object in a bucket that keeps them.

    Attributes:
        key: of the object.
        version: None where the bucket keeps no versions.
        etag: changes with the content; "" for a deletion.
        written: when.
        deletion: it is a mark that the object was deleted, and has no content.
    """

    key: str
    version: str | None
    etag: str
    written: datetime
    deletion: bool


@dataclass(frozen=True)
class Lock:
    """Until when nobody, the owner of the bucket included, can remove a version of an object."""

    mode: str
    until: datetime


class Unreachable(SourceError):  # noqa: N818 - the state of the store
    """The store cannot be reached now, or goes on failing; what was asked may be right."""


class ObjectStore:
    """A connection to a store; its methods may be called from several threads.

    Every method raises `SourceError`, with the endpoint and without secrets, when the store cannot be reached, refuses
    or goes on failing.

    Args:
        config: where, and as whom.
        connections: requests at the same time.
        attempts: of each request, while it fails for a reason that may pass.
        pause: seconds before the second attempt; doubled before each further one.
    """

    def __init__(
        self, config: ObjectStoreConfig, *, connections: int = 8, attempts: int = 5, pause: float = 0.2
    ) -> None:
        self.endpoint = config.endpoint
        self.connections = connections
        self._attempts = attempts
        self._pause = pause
        with self._errors(""):
            self._client = _client(config, connections=connections, attempts=attempts, pause=pause)

    def find(self, bucket: str, key: str) -> StoredObject | None:
        """The object of exactly this key, or None."""
        with self._errors(bucket):
            try:
                found = self._client.stat_object(bucket, key)
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise
        return StoredObject(key, int(found.size or 0), found.etag or "")

    def objects(self, bucket: str, prefix: str) -> list[StoredObject]:
        """All objects below the folder `prefix` ("" is the bucket) but the markers of folders, by key."""
        with self._errors(bucket):
            found = self._client.list_objects(bucket, prefix=f"{prefix}/" if prefix else None, recursive=True)
            listed = [StoredObject(item.object_name, int(item.size or 0), item.etag or "") for item in found]
        return sorted((item for item in listed if not item.key.endswith("/")), key=lambda item: item.key)

    def fetch(self, bucket: str, key: str, target: Path) -> StoredObject:
        """Write an object to the file `target` and return it as it is now; it may have changed since it was listed."""
        with self._errors(bucket):
            for attempt in range(1, self._attempts + 1):
                try:
                    return self._fetch(bucket, key, target)
                except (ProtocolError, ReadTimeoutError):
                    if attempt == self._attempts:
                        raise
                    time.sleep(self._pause * 2 ** (attempt - 1))
        raise AssertionError("attempts must be at least 1")

    def _fetch(self, bucket: str, key: str, target: Path) -> StoredObject:
        response = self._client.get_object(bucket, key)
        try:
            size = 0
            with target.open("wb") as stream:
                for chunk in response.stream(_CHUNK):
                    size += stream.write(chunk)
            expected = int(response.headers.get("Content-Length", size))
            if size != expected:
                raise IncompleteRead(size, expected - size)
            return StoredObject(key, size, response.headers.get("ETag", "").strip('"'))
        finally:
            response.close()
            response.release_conn()

    def require_lock(self, bucket: str) -> None:
        """Raise `SourceError` when the bucket has no object lock."""
        with self._errors(bucket):
            self._client.get_object_lock_config(bucket)

    def put_locked(self, bucket: str, key: str, source: Path, *, until: datetime) -> None:
        """Store a file so that nobody can remove or replace this version of it before `until` (mode COMPLIANCE)."""
        with self._errors(bucket), source.open("rb") as stream:
            size = source.stat().st_size
            self._client.put_object(bucket, key, stream, size, retention=Retention(COMPLIANCE, until))

    def lock(self, bucket: str, key: str, version: str | None = None) -> Lock | None:
        """What keeps a version of an object, None when nothing does.

        Read from the headers of the object: the client's own call does not understand the times of every store.
        """
        with self._errors(bucket):
            headers = self._client.stat_object(bucket, key, version_id=version).metadata or {}
            mode, until = (headers.get(f"x-amz-object-lock-{name}") for name in ("mode", "retain-until-date"))
            return None if mode is None or until is None else Lock(mode, datetime.fromisoformat(until))

    def versions(self, bucket: str, prefix: str) -> list[StoredVersion]:
        """All versions of all objects whose key begins with `prefix`, by key, then oldest first."""
        with self._errors(bucket):
            found = self._client.list_objects(bucket, prefix=prefix, recursive=True, include_version=True)
            versions = [
                StoredVersion(
                    key=item.object_name,
                    version=item.version_id,
                    etag=item.etag or "",
                    written=item.last_modified,
                    deletion=item.is_delete_marker,
                )
                for item in found
            ]
        return sorted(versions, key=lambda version: (version.key, version.written))

    @contextmanager
    def reading(self, bucket: str, key: str, version: str | None = None) -> Iterator[IO[bytes]]:
        """The content of an object, as a file to be read once; errors while reading are the store's as well."""
        with self._errors(bucket):
            response = cast(urllib3.HTTPResponse, self._client.get_object(bucket, key, version_id=version))
            response.auto_close = False  # or reading its end counts as using a closed file
            try:
                yield io.BufferedReader(response, _CHUNK)
            finally:
                response.close()
                response.release_conn()

    @contextmanager
    def _errors(self, bucket: str) -> Iterator[None]:
        place = f"s3://{bucket} at {self.endpoint}"
        try:
            yield
        except S3Error as error:
            meaning = _MEANINGS.get(error.code or "", error.message or "no reason given")
            raise SourceError(f"{place} refuses ({error.code}): {meaning}") from error
        except (InvalidResponseError, ParseError) as error:
            raise SourceError(f"{place} must speak S3, answers otherwise; check AWS_ENDPOINT_URL") from error
        except (MinioException, HTTPError) as error:
            raise Unreachable(
                f"{place} must be reachable: {_reason(error)}; check AWS_ENDPOINT_URL and run again"
            ) from error
        except ValueError as error:
            raise SourceError(f"{place} cannot be asked: {error}") from error


def _client(config: ObjectStoreConfig, *, connections: int, attempts: int, pause: float) -> Minio:
    url = urlsplit(config.endpoint)
    pool = urllib3.PoolManager(
        maxsize=connections,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=urllib3.Retry(total=attempts - 1, backoff_factor=pause, status_forcelist=_TRANSIENT),
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(config.ca_bundle or certifi.where()),
    )
    return Minio(
        url.netloc,
        access_key=config.access_key,
        secret_key=config.secret_key,
        session_token=config.session_token,
        secure=url.scheme == "https",
        region=config.region,
        http_client=pool,
    )


def _reason(error: Exception) -> str:
    """The innermost cause in one line: urllib3 wraps it in the request that it repeated."""
    inner = getattr(error, "reason", None) or error
    return " ".join(str(inner).split())
