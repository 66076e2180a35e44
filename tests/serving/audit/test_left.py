"""`cxr audit ship`, against a real store that locks objects."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cxr.adapters.object_store import ObjectStore, ObjectStoreConfig
from cxr.serving.audit.carry import COMPLIANCE
from cxr.serving.audit.chain import Chain
from cxr.serving.audit.commands import audit
from cxr.serving.audit.report import AuditReport
from cxr.serving.audit.segment import segment_files
from cxr.serving.audit.source import bucket_sources
from cxr.serving.audit.verify import verify
from cxr.serving.settings import Settings
from support.audit_trail import KEY, Stored, key_use, write_trail
from support.ports import free_port
from support.rgw import Gateway

Ship = Callable[..., Result]


@pytest.fixture
def store(gateway: Gateway) -> ObjectStore:
    return ObjectStore(ObjectStoreConfig.from_environment(gateway.environment()))


@pytest.fixture
def killed(open_trail: Stored, tmp_path: Path) -> Stored:
    """What a pod left that was killed: the last segment is not sealed."""
    shutil.copytree(open_trail.folder, tmp_path / "killed" / "audit")
    return Stored(tmp_path / "killed" / "audit")


@pytest.fixture
def ended(closed_trail: Stored, tmp_path: Path) -> Stored:
    """What a pod left that ended in order before the bucket had anything."""
    shutil.copytree(closed_trail.folder, tmp_path / "ended" / "audit")
    return Stored(tmp_path / "ended" / "audit")


@pytest.fixture
def ship(gateway: Gateway, bucket: str, tmp_path: Path) -> Ship:
    """Runs the command on folders."""

    def run(*arguments: object, key: bytes = KEY, to: str = f"s3://{bucket}/site", **environment: str) -> Result:
        path = tmp_path / "audit.key"
        path.write_bytes(key + b"\n")
        path.chmod(0o600)
        command = ["ship", *map(str, arguments), "--key", str(path), "--bucket", to]
        return CliRunner().invoke(audit, command, env=gateway.environment() | environment)

    return run


def stored(store: ObjectStore, bucket: str) -> list[AuditReport]:
    return [verify(source, Chain(KEY)) for source in bucket_sources(store, bucket, "site/")]


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


class TestShipping:
    def test_the_records_of_a_killed_pod_are_sealed_and_locked(
        self, ship: Ship, killed: Stored, store: ObjectStore, bucket: str
    ) -> None:
        assert killed.files()[-1].suffix == ".open"
        result = ship(killed.folder)
        (report,) = stored(store, bucket)
        segments = len(segment_files(killed.folder))
        line = f"{killed.folder}: trail {report.trail}, {segments} segments shipped, 0 already there\n"
        assert (result.exit_code, result.output) == (0, line)
        local = killed.verify(report.head)
        assert (report.intact, local.intact, local.recoveries) == (True, True, 0)
        assert (report.records, report.head) == (local.records, local.head)
        assert all(file.sealed for file in segment_files(killed.folder))

    def test_a_torn_end_is_told_in_the_bucket(
        self, ship: Ship, killed: Stored, store: ObjectStore, bucket: str
    ) -> None:
        with killed.files()[-1].open("ab") as stream:
            stream.write(b'{"sequence":')
        assert ship(killed.folder).exit_code == 0
        (report,) = stored(store, bucket)
        assert (report.intact, report.recoveries) == (True, 1)

    def test_what_is_shipped_is_not_shipped_again(self, ship: Ship, ended: Stored, bucket: str) -> None:
        ship(ended.folder)
        result = ship(ended.folder)
        assert f", 0 segments shipped, {len(segment_files(ended.folder))} already there\n" in result.output
        assert result.exit_code == 0

    def test_what_lost_its_marker_is_found_in_the_bucket(
        self, ship: Ship, ended: Stored, store: ObjectStore, bucket: str
    ) -> None:
        ship(ended.folder)
        markers = sorted(ended.folder.glob("*.shipped"))
        markers[1].unlink()
        assert f", 0 segments shipped, {len(markers)} already there\n" in ship(ended.folder).output
        assert markers[1].exists()
        assert len(store.versions(bucket, "")) == len(markers)

    def test_what_another_bucket_has_is_told_apart(self, ship: Ship, ended: Stored, bucket: str) -> None:
        ship(ended.folder)
        result = ship(ended.folder, to=f"s3://{bucket}/elsewhere")
        assert (
            f", 0 segments shipped, 0 already there, {len(segment_files(ended.folder))} in another bucket"
            in result.output
        )

    @pytest.mark.parametrize(("options", "days"), [((), Settings.audit_retention_days), (("--retention-days", 3), 3)])
    def test_it_is_locked_for_as_long_as_the_service_would(
        self, ship: Ship, ended: Stored, store: ObjectStore, bucket: str, options: tuple[object, ...], days: int
    ) -> None:
        ship(ended.folder, *options)
        locks = [store.lock(bucket, version.key, version.version) for version in store.versions(bucket, "")]
        assert locks
        assert {lock and lock.mode for lock in locks} == {COMPLIANCE}
        expected = datetime.now(UTC) + timedelta(days=days)
        assert all(lock and abs(lock.until - expected) < timedelta(hours=1) for lock in locks)

    def test_every_folder_is_a_trail_of_its_own(
        self, ship: Ship, ended: Stored, killed: Stored, store: ObjectStore, bucket: str
    ) -> None:
        result = ship(ended.folder, killed.folder)
        assert (result.exit_code, result.output.count(" already there\n")) == (0, 2)
        reports = stored(store, bucket)
        assert {report.head for report in reports} == {ended.verify().head, killed.verify().head}


class TestRefusing:
    def test_a_folder_in_use_stops_no_other(
        self, ship: Ship, ended: Stored, tmp_path: Path, store: ObjectStore, bucket: str
    ) -> None:
        live = write_trail(tmp_path / "live")
        result = ship(tmp_path / "live", ended.folder)
        assert result.exit_code == 1
        assert f"{tmp_path / 'live'}: NOT SHIPPED: " in result.output
        assert "a process has it open" in result.output
        assert len(stored(store, bucket)) == 1
        live.append_now(key_use(99))
        live.close()
        assert Stored(tmp_path / "live").verify().intact
        assert not list((tmp_path / "live").glob("*.shipped"))

    @pytest.mark.parametrize("torn", [False, True])
    def test_another_key_touches_nothing(self, ship: Ship, killed: Stored, torn: bool) -> None:
        if torn:  # so that the last segment does not say under which key it was written
            killed.files()[-1].write_bytes(b'{"sequence":')
        before = content(killed.folder)
        result = ship(killed.folder, key=b"another key of thirty-two bytes..")
        assert (result.exit_code, "NOT SHIPPED" in result.output) == (1, True)
        assert content(killed.folder) == before

    @pytest.mark.parametrize("name", ["empty", "absent"])
    def test_a_folder_without_a_trail_stays_as_it_is(self, ship: Ship, tmp_path: Path, name: str) -> None:
        (tmp_path / "empty").mkdir()
        result = ship(tmp_path / name)
        assert (result.exit_code, "must be the folder of an audit trail" in result.output) == (1, True)
        assert list((tmp_path / "empty").iterdir()) == []
        assert not (tmp_path / "absent").exists()

    def test_a_changed_segment_stops_no_other(self, ship: Ship, ended: Stored, bucket: str) -> None:
        second = ended.files()[1]
        second.write_bytes(second.read_bytes().replace(b"{", b"[", 1))
        segments = len(ended.files())
        result = ship(ended.folder)
        assert result.exit_code == 1
        assert f", {segments - 1} segments shipped, 0 already there\n  NOT SHIPPED: {second} must be" in result.output

    def test_a_bucket_without_lock_takes_nothing(self, ship: Ship, killed: Stored, gateway: Gateway) -> None:
        before = content(killed.folder)
        result = ship(killed.folder, to=f"s3://{gateway.bucket()}/site")
        assert (result.exit_code, "must have object lock" in str(result.exception)) == (1, True)
        assert content(killed.folder) == before

    def test_a_store_that_is_away_is_named(self, ship: Ship, killed: Stored) -> None:
        before = content(killed.folder)
        result = ship(killed.folder, AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}")
        assert (result.exit_code, "must be reachable" in str(result.exception)) == (1, True)
        assert content(killed.folder) == before
