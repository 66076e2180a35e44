"""Against a real store that locks objects."""

import io
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from minio.error import S3Error

from cxr.adapters.object_store import ObjectStore, ObjectStoreConfig
from cxr.serving.audit.chain import Chain
from cxr.serving.audit.commands import audit
from cxr.serving.audit.log import AuditLog
from cxr.serving.audit.record import AuditError
from cxr.serving.audit.report import AuditReport
from cxr.serving.audit.source import bucket_sources
from cxr.serving.audit.verify import verify
from support.audit_trail import KEY, Stored, key_use, until
from support.ports import free_port
from support.rgw import Gateway


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def opened(folder: Path, gateway: Gateway, bucket: str, **given: object) -> AuditLog:
    environment = gateway.environment() | {"AWS_REGION": "us-east-1"}
    options = {"bucket": f"s3://{bucket}/site", "max_bytes": 2000, "environment": environment} | given
    return AuditLog.open(folder, key=KEY, **options)  # type: ignore[arg-type]


def appended(log: AuditLog, records: int = 12) -> None:
    for number in range(records):
        log.append_now(key_use(number))


def in_bucket(gateway: Gateway, bucket: str) -> list[AuditReport]:
    store, chain = ObjectStore(ObjectStoreConfig.from_environment(gateway.environment())), Chain(KEY)
    return [verify(source, chain) for source in bucket_sources(store, bucket, "site/")]


def keys(gateway: Gateway, bucket: str) -> list[str]:
    return sorted(item.object_name or "" for item in gateway.client.list_objects(bucket, recursive=True))


class TestShipping:
    def test_every_sealed_segment_is_there_when_the_log_is_closed(
        self, gateway: Gateway, bucket: str, folder: Path
    ) -> None:
        log = opened(folder, gateway, bucket)
        appended(log)
        log.close()
        assert (log.status().unshipped, log.status().shipping_error) == (0, None)
        (report,) = in_bucket(gateway, bucket)
        local = Stored(folder).verify(report.head)
        assert report.intact
        assert local.intact
        assert (report.records, report.head) == (local.records, local.head)

    def test_nobody_can_remove_it_for_seven_years(self, gateway: Gateway, bucket: str, folder: Path) -> None:
        log = opened(folder, gateway, bucket)
        appended(log, 2)
        log.close()
        s3 = boto3.client(
            "s3", endpoint_url=gateway.endpoint, aws_access_key_id=gateway.access_key,
            aws_secret_access_key=gateway.secret_key, region_name="us-east-1",
        )  # fmt: skip
        try:
            (key,) = keys(gateway, bucket)
            retention = s3.get_object_retention(Bucket=bucket, Key=key)["Retention"]
        finally:
            s3.close()
        assert retention["Mode"] == "COMPLIANCE"
        expected = datetime.now(UTC) + timedelta(days=2557)
        assert abs(retention["RetainUntilDate"] - expected) < timedelta(minutes=5)
        version = gateway.client.stat_object(bucket, key).version_id
        with pytest.raises(S3Error, match="AccessDenied"):
            gateway.client.remove_object(bucket, key, version_id=version)

    def test_what_a_kill_left_unshipped_goes_after_the_next_start(
        self, gateway: Gateway, bucket: str, folder: Path
    ) -> None:
        log = AuditLog.open(folder, key=KEY, max_bytes=2000)
        appended(log)
        log.close()
        log = opened(folder, gateway, bucket)
        until(lambda: log.status().unshipped == 0)
        log.close()
        assert [report.intact for report in in_bucket(gateway, bucket)] == [True]

    def test_a_segment_whose_sealing_failed_once_goes_too(
        self, gateway: Gateway, bucket: str, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = opened(folder, gateway, bucket, max_bytes=1)
        (folder / "segment-000001.jsonl").mkdir()
        appended(log, 1)
        until(lambda: "cannot be kept in order" in caplog.text)
        (folder / "segment-000001.jsonl").rmdir()
        appended(log, 1)
        log.close()
        assert [key.rpartition("/")[2] for key in keys(gateway, bucket)] == [
            "segment-000001.jsonl",
            "segment-000002.jsonl",
        ]

    def test_services_share_a_bucket(self, gateway: Gateway, bucket: str, tmp_path: Path) -> None:
        logs = [opened(tmp_path / name, gateway, bucket) for name in "ab"]
        for log in logs:
            appended(log)
            log.close()
        reports = in_bucket(gateway, bucket)
        assert [report.intact for report in reports] == [True, True]
        assert {report.head for report in reports} == {log.status().head for log in logs}


class TestLocalCopies:
    def test_stay_by_default(self, gateway: Gateway, bucket: str, folder: Path) -> None:
        log = opened(folder, gateway, bucket)
        appended(log)
        log.close()
        assert len(Stored(folder).files()) > len(keys(gateway, bucket)) - 1

    def test_go_once_the_bucket_has_them_if_so_wished(self, gateway: Gateway, bucket: str, folder: Path) -> None:
        log = opened(folder, gateway, bucket, keep_local=timedelta(0))
        appended(log)
        until(lambda: not (folder / "segment-000001.jsonl").exists())
        appended(log, 3)
        head = log.status().head
        log.close()
        assert Stored(folder).verify(head).intact
        (report,) = in_bucket(gateway, bucket)
        assert report.intact
        assert Stored(folder).verify(report.head).intact
        appended(log := opened(folder, gateway, bucket, keep_local=timedelta(0)))
        log.close()
        assert Stored(folder).verify().intact
        first = Stored(folder).files()[0]
        first.unlink()
        assert {found.kind for found in Stored(folder).verify().problems} == {"missing"}

    def test_stay_when_the_bucket_lost_them(self, gateway: Gateway, folder: Path, bucket: str) -> None:
        log = opened(folder, gateway, bucket, keep_local=timedelta(days=1))
        appended(log)
        log.close()
        for marker in folder.glob("*.shipped"):
            marker.write_bytes(marker.read_bytes().replace(b"site/", b"gone/"))
        log = opened(folder, gateway, bucket, keep_local=timedelta(0))
        until(lambda: log.status().shipping_error is not None)
        assert "is not" in (log.status().shipping_error or "")
        assert (folder / "segment-000001.jsonl").exists()
        log.close()


class TestSomebodyWithCredentials:
    @pytest.fixture
    def shipped(self, gateway: Gateway, bucket: str, folder: Path) -> str:
        log = opened(folder, gateway, bucket)
        appended(log)
        log.close()
        return bucket

    def test_cannot_hide_a_segment_behind_another_version(self, gateway: Gateway, shipped: str) -> None:
        key = keys(gateway, shipped)[1]
        gateway.client.put_object(shipped, key, io.BytesIO(b"{}\n"), 3)
        (report,) = in_bucket(gateway, shipped)
        assert [(found.kind, found.segment) for found in report.problems] == [("replaced", "segment-000002.jsonl")]

    def test_cannot_hide_a_segment_behind_a_deletion(self, gateway: Gateway, shipped: str) -> None:
        gateway.client.remove_object(shipped, keys(gateway, shipped)[-1])
        (report,) = in_bucket(gateway, shipped)
        assert [found.kind for found in report.problems] == ["replaced"]

    def test_cannot_put_a_segment_there_first(self, gateway: Gateway, bucket: str, folder: Path) -> None:
        log = opened(folder, gateway, bucket, max_bytes=100_000)
        appended(log)
        key = f"site/{log.status().head.trail}/segment-000001.jsonl"
        gateway.client.put_object(bucket, key, io.BytesIO(b"{}\n"), 3)
        log.close()
        assert "has other content" in (log.status().shipping_error or "")
        assert log.status().unshipped == 1
        assert Stored(folder).verify().intact

    def test_an_older_copy_of_the_folder_is_found_by_the_bucket(
        self, gateway: Gateway, bucket: str, folder: Path, tmp_path: Path
    ) -> None:
        appended(log := opened(folder, gateway, bucket))
        log.close()
        shutil.copytree(folder, tmp_path / "older")
        appended(log := opened(folder, gateway, bucket))
        log.close()
        (report,) = in_bucket(gateway, bucket)
        assert Stored(folder).verify(report.head).intact
        assert [found.kind for found in Stored(tmp_path / "older").verify(report.head).problems] == ["truncated"]
        key = tmp_path / "audit.key"
        key.write_bytes(KEY)
        key.chmod(0o600)
        for place, status, words in ((folder, 0, "intact"), (tmp_path / "older", 1, "truncated")):
            command = ["verify", str(place), "--key", str(key), "--bucket", f"s3://{bucket}/site"]
            result = CliRunner().invoke(audit, command, env=gateway.environment())
            assert (result.exit_code, words in result.output) == (status, True)


class TestStarting:
    def test_refuses_a_bucket_without_lock(self, gateway: Gateway, folder: Path) -> None:
        with pytest.raises(AuditError, match="must have object lock"):
            opened(folder, gateway, gateway.bucket())

    def test_refuses_a_bucket_that_is_not_there(self, gateway: Gateway, folder: Path) -> None:
        with pytest.raises(AuditError, match="NoSuchBucket"):
            opened(folder, gateway, "no-such-audit")

    @pytest.mark.parametrize("address", ["audit", "s3:/audit", "https://audit/x", "s3://", "s3://a/b?c"])
    def test_refuses_what_is_no_address(self, folder: Path, address: str) -> None:
        with pytest.raises(AuditError, match="s3://BUCKET/PREFIX"):
            AuditLog.open(folder, key=KEY, bucket=address, environment={})

    def test_goes_on_while_the_store_is_away(self, gateway: Gateway, bucket: str, folder: Path) -> None:
        port = free_port()
        environment = gateway.environment() | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        log = opened(folder, gateway, bucket, environment=environment)
        started = time.monotonic()
        appended(log)
        assert time.monotonic() - started < 5
        until(lambda: log.status().shipping_error)
        status = log.status()
        assert status.unshipped > 0
        assert status.lag > 0
        assert "must be reachable" in (status.shipping_error or "")
        with forwarded(port, int(gateway.endpoint.rpartition(":")[2])):
            until(lambda: log.status().unshipped == 0)
            assert log.status().shipping_error is None
            log.close()
        assert [report.intact for report in in_bucket(gateway, bucket)] == [True]


@contextmanager
def forwarded(port: int, target: int) -> Iterator[None]:
    """A store that comes back: connections to `port` go to `target`."""
    listener = socket.create_server(("127.0.0.1", port))
    ends: list[socket.socket] = [listener]

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", target))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
