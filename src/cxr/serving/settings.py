"""What a predictor is started with. The only place where defaults of the service live."""

from dataclasses import dataclass
from pathlib import Path

from cxr.errors import ServingError
from cxr.serving.engine import BackendName


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one predictor process.

    Attributes:
        bundle: folder of the bundle, or a link to it; a reload reads the link again.
        state: folder of what the service keeps: audit trail, keys of its own.
        model_name: in the addresses of the V2 protocol.
        host: address that is listened on.
        http_port: of REST and the page; 0 takes a free one.
        grpc_port: of V2 over gRPC; 0 takes a free one.
        tls_certificate: PEM chain for REST and gRPC; without it both are plaintext, which only `dev` allows.
        tls_key: its private key.
        keys: file of API keys, see `cxr keys`.
        dev: serve without API keys and TLS, on the loopback interface only.
        behind_proxy: TLS is ended by a proxy in front (a service mesh); plaintext is then allowed on any interface.
        backend: that runs the graph.
        threads: of one forward pass; all cores when None.
        decode_threads: films decoded at the same time.
        max_batch: films of one forward pass.
        max_wait: longest that a film waits for company when more are being decoded, seconds.
        max_queue: films that may wait for a forward pass before callers are told to come back.
        max_bytes: largest film; a request may have 1 MiB more around it.
        max_pixels: largest picture decoded.
        max_pending_bytes: bodies held in memory at the same time.
        request_timeout: longest that a request may take, its upload included, seconds.
        drain_delay: how long a terminating process still answers after it has stopped being ready, seconds.
        grace: longest that requests may take to end after that, seconds.
        drift_url: of the drift sidecar; no events are sent without it.
        drift_token_file: secret that the sidecar asks for.
        audit_bucket: `s3://bucket/prefix` with object lock, to which sealed segments go.
        audit_retention_days: of the objects there; 7 years with their leap days.
        audit_keep_local_days: after which segments that the bucket holds are removed here; None keeps them.
        log_level: of the JSON log on standard error.
    """

    bundle: Path
    state: Path
    model_name: str = "cxr"
    host: str = "0.0.0.0"  # noqa: S104 - a container listens on all of its interfaces
    http_port: int = 8080
    grpc_port: int = 8081
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    keys: Path | None = None
    dev: bool = False
    behind_proxy: bool = False
    backend: BackendName = "auto"
    threads: int | None = None
    decode_threads: int = 2
    max_batch: int = 16
    max_wait: float = 0.003
    max_queue: int = 256
    max_bytes: int = 64 * 2**20
    max_pixels: int = 50_000_000
    max_pending_bytes: int = 256 * 2**20
    request_timeout: float = 30.0
    drain_delay: float = 0.0
    grace: float = 25.0
    drift_url: str | None = None
    drift_token_file: Path | None = None
    audit_bucket: str | None = None
    audit_retention_days: int = 2557
    audit_keep_local_days: int | None = None
    log_level: str = "INFO"

    def check(self) -> None:
        """Raise `ServingError` for a combination that would be unsafe, before anything is opened."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ServingError("a TLS certificate and its key must be given together; give both or neither")
        if self.dev:
            if self.host not in ("127.0.0.1", "::1", "localhost"):
                raise ServingError(
                    f"--dev must listen on the loopback interface, --host is {self.host}: it answers without keys; "
                    "use --host 127.0.0.1, or give --keys and a certificate"
                )
            return
        if self.keys is None:
            raise ServingError(
                "API keys must be given (--keys FILE, made by `cxr keys create`); only --dev goes without"
            )
        if self.tls_certificate is None and not self.behind_proxy:
            raise ServingError(
                "a TLS certificate must be given (--tls-certificate and --tls-key), or --behind-proxy where a proxy or "
                "service mesh encrypts; only --dev goes without"
            )
