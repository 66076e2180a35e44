"""What is durable, what a kill leaves, and what is said about it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.serving.audit.chain import Chain
from cxr.serving.audit.log import AuditLog
from cxr.serving.audit.record import AuditError, AuditRecord, Interrupted, KeyUse, Recovered
from support.audit_trail import KEY, Stored, key_use, prediction, until, write_trail
from support.full_disk import files_at_most


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def records(folder: Path) -> list[AuditRecord]:
    chain = Chain(KEY)
    return [chain.record(line) for path in Stored(folder).files() for line in path.read_bytes().splitlines(True)]


def requests(folder: Path) -> list[str]:
    return [record.event.request_id for record in records(folder) if isinstance(record.event, KeyUse)]


class TestAppending:
    def test_returns_the_sequence_of_what_is_on_the_disk(self, folder: Path) -> None:
        log = AuditLog.open(folder, key=KEY)
        for number in range(3):
            sequence = log.append_now(prediction(number))
            stored = records(folder)[-1]
            assert (stored.sequence, stored.event) == (sequence, prediction(number))
        assert log.status().head.digest == records(folder)[-1].digest
        log.close()

    def test_shares_a_sync_among_those_who_wait(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        syncs = []
        real = os.fdatasync

        def counted(descriptor: int) -> None:
            syncs.append(descriptor)
            time.sleep(0.005)
            real(descriptor)

        monkeypatch.setattr(os, "fdatasync", counted)
        log = AuditLog.open(folder, key=KEY)

        async def appended() -> list[int]:
            return list(await asyncio.gather(*(log.append(key_use(number)) for number in range(200))))

        sequences = asyncio.run(appended())
        assert len(set(sequences)) == 200
        assert len(syncs) <= 5
        log.close()
        assert Stored(folder).verify().intact

    def test_writes_what_nobody_waits_for_any_more(self, folder: Path) -> None:
        log = AuditLog.open(folder, key=KEY)

        async def abandoned() -> None:
            task = asyncio.create_task(log.append(key_use(1)))
            await asyncio.sleep(0)
            task.cancel()

        asyncio.run(abandoned())
        log.append_now(key_use(2))
        log.close()
        assert requests(folder)[-1] == "request-2"
        assert Stored(folder).verify().intact

    def test_refuses_what_breaks_the_contract(self, folder: Path) -> None:
        log = AuditLog.open(folder, key=KEY)
        with pytest.raises(AuditError, match="KeyUse does not"):
            log.append_now(KeyUse(request_id="Müller, Anna", key_id=None, outcome="admitted"))
        log.append_now(key_use())
        log.close()
        assert "Anna" not in "".join(path.read_text() for path in Stored(folder).files())

    def test_refuses_when_closed(self, folder: Path) -> None:
        log = write_trail(folder)
        log.close()
        with pytest.raises(AuditError, match="is closed"):
            log.append_now(key_use())

    def test_tolerates_a_clock_that_goes_back(self, folder: Path) -> None:
        times = [datetime(2026, 11, 24, 12, tzinfo=UTC) - timedelta(hours=hours) for hours in range(30)]
        log = AuditLog.open(folder, key=KEY, clock=times.pop)
        log.append_now(key_use(1))
        times.reverse()
        log.append_now(key_use(2))
        log.append_now(key_use(3))
        log.close()
        report = Stored(folder).verify()
        assert report.intact
        assert report.clock_steps >= 1


class TestSegments:
    def test_are_sealed_by_size(self, folder: Path) -> None:
        write_trail(folder, max_bytes=2000).close()
        assert len(Stored(folder).files()) > 3
        assert all(path.suffix == ".jsonl" and path.stat().st_size < 3500 for path in Stored(folder).files())

    def test_are_sealed_by_age(self, folder: Path) -> None:
        log = AuditLog.open(folder, key=KEY, max_age=timedelta(seconds=0.05))
        log.append_now(key_use())
        until(lambda: [path.suffix for path in Stored(folder).files()] == [".jsonl"])
        log.close()
        assert len(Stored(folder).files()) == 1

    def test_none_is_made_for_nothing(self, folder: Path) -> None:
        AuditLog.open(folder, key=KEY).close()
        assert Stored(folder).files() == []
        assert Stored(folder).verify().intact

    def test_go_on_after_a_restart(self, folder: Path) -> None:
        for _ in range(3):
            write_trail(folder, records=5).close()
        report = Stored(folder).verify()
        assert (report.intact, report.recoveries) == (True, 0)
        assert len(requests(folder)) == 15


class TestOpening:
    def test_one_process_at_a_time(self, folder: Path) -> None:
        log = write_trail(folder)
        with pytest.raises(AuditError, match="one process, another one has it open"):
            AuditLog.open(folder, key=KEY)
        log.close()
        write_trail(folder).close()

    def test_refuses_another_key(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as copy:
            before = {path: path.read_bytes() for path in copy.folder.iterdir() if path.is_file()}
            with pytest.raises(AuditError, match="the key that it was begun with"):
                AuditLog.open(copy.folder, key=b"another key of thirty-two bytes..")
            assert before == {path: path.read_bytes() for path in copy.folder.iterdir()}

    def test_refuses_a_place_that_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(AuditError, match="must be a folder"):
            AuditLog.open(tmp_path / "file", key=KEY)


class TestAfterAKill:
    @settings(max_examples=40)
    @given(data=st.data())
    def test_at_any_byte(self, open_trail: Stored, data: st.DataObject) -> None:
        with open_trail.copy() as copy:
            known = records(copy.folder)
            path = copy.files()[-1]
            line = Chain(KEY).line(
                sequence=known[-1].sequence + 1, time=known[-1].time, previous=known[-1].digest, event=b'{"kind":"x"}'
            )[0]
            torn = line[: data.draw(st.integers(0, len(line) - 1))]
            with path.open("ab") as stream:
                stream.write(torn)
            log = AuditLog.open(copy.folder, key=KEY)
            log.append_now(key_use(99))
            log.close()
            report = copy.verify()
            assert (report.intact, report.recoveries) == (True, int(bool(torn)))
            assert records(copy.folder)[: len(known)] == known
            found = [record.event for record in records(copy.folder) if isinstance(record.event, Recovered)]
            assert [event.cut_bytes for event in found] == [len(torn)] * bool(torn)
            for event in found:
                (kept,) = (copy.folder / "damaged").iterdir()
                assert sha256(kept.read_bytes()).hexdigest() == event.cut_sha256

    @settings(max_examples=25)
    @given(data=st.data())
    def test_what_was_acknowledged_and_is_gone_is_told_for_ever(self, open_trail: Stored, data: st.DataObject) -> None:
        with open_trail.copy() as copy:
            acknowledged = records(copy.folder)[-1].sequence
            path = copy.files()[-1]
            size = data.draw(st.integers(0, path.stat().st_size - 1))
            os.truncate(path, size)
            before = copy.verify()
            assert not before.intact
            for number in range(2):
                log = AuditLog.open(copy.folder, key=KEY)
                log.append_now(key_use(100 + number))
                log.close()
            report = copy.verify()
            assert [(found.kind, found.until or found.sequence) for found in report.problems] == [
                ("lost", acknowledged)
            ]

    def test_a_seal_without_its_name_gets_it(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as copy:
            last = copy.files()[-1]
            last.rename(last.with_suffix(".open"))
            AuditLog.open(copy.folder, key=KEY).close()
            assert copy.files()[-1] == last
            assert copy.verify().intact

    def test_an_empty_segment_is_begun_again(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as copy:
            (copy.folder / "segment-000099.open").touch()
            write_trail(copy.folder, records=1).close()
            report = copy.verify()
            assert (report.intact, report.recoveries) == (True, 0)

    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
    def test_a_damaged_head_is_told_and_kept(self, closed_trail: Stored, content: bytes) -> None:
        with closed_trail.copy() as copy:
            (copy.folder / "head.json").write_bytes(content)
            AuditLog.open(copy.folder, key=KEY).close()
            report = copy.verify()
            assert (report.intact, report.recoveries) == (True, 1)
            assert [path.read_bytes() for path in (copy.folder / "damaged").iterdir()] == [content]

    def test_a_changed_record_in_the_unsealed_segment_is_kept_and_told(self, open_trail: Stored) -> None:
        with open_trail.copy() as copy:
            path = copy.files()[-1]
            content = path.read_bytes()
            path.write_bytes(content.replace(b"unauthenticated", b"admitted", 1))
            write_trail(copy.folder, records=1).close()
            assert [found.kind for found in copy.verify().problems] == ["lost"]
            assert b"admitted" in b"".join(path.read_bytes() for path in (copy.folder / "damaged").iterdir())

    def test_a_damaged_sealed_segment_is_left_as_it_is(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as copy:
            path = copy.files()[-1]
            path.write_bytes(b"garbage\n")
            write_trail(copy.folder, records=1).close()
            assert path.read_bytes() == b"garbage\n"
            assert copy.files()[-1] > path
            assert {found.kind for found in copy.verify().problems} == {"altered", "lost"}


CHILD = """
import asyncio, itertools, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from cxr.serving.audit.log import AuditLog
from support.audit_trail import KEY, key_use

async def client(log, numbers):
    for number in numbers:
        sequence = await log.append(key_use(number))
        os.write(1, f"{sequence} request-{number}\\n".encode())

async def main():
    log = AuditLog.open(Path(sys.argv[1]), key=KEY, max_bytes=20_000)
    numbers = itertools.count(int(sys.argv[3]))
    await asyncio.gather(*(client(log, numbers) for _ in range(16)))

asyncio.run(main())
"""


def test_sigkill_under_load_loses_nothing_that_was_acknowledged(folder: Path) -> None:
    support = str(Path(__file__).parents[2])
    acknowledged: dict[int, str] = {}
    for start in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), support, str(start * 1_000_000)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        heard = [child.stdout.readline() for _ in range(200 + 37 * start)]
        assert all(heard)
        child.send_signal(signal.SIGKILL)
        # what the pipe still holds was acknowledged as well; the last line may be half
        told = (b"".join(heard) + child.stdout.read()).decode().splitlines(keepends=True)
        child.stdout.close()
        child.wait()
        for line in told:
            if line.endswith("\n"):
                sequence, request = line.split()
                acknowledged[int(sequence)] = request
        assert {found.kind for found in Stored(folder).verify().problems} <= {"torn"}
    write_trail(folder, records=1).close()
    assert Stored(folder).verify().intact
    stored = {record.sequence: record.event for record in records(folder)}
    assert len(acknowledged) >= sum(200 + 37 * start for start in range(4))
    assert acknowledged == {sequence: stored[sequence].request_id for sequence in acknowledged}  # type: ignore[union-attr]


class TestAFullDisk:
    def test_is_refused_and_told_when_it_is_over(self, folder: Path) -> None:
        log = write_trail(folder, records=2, max_bytes=100_000)
        size = Stored(folder).files()[-1].stat().st_size
        for room in (0, 1, 100):
            with files_at_most(size + room), pytest.raises(AuditError, match="must be writable: File too large"):
                log.append_now(prediction(7))
        assert log.status().failing_since is not None
        log.append_now(key_use(8))
        assert log.status().failing_since is None
        log.close()
        report = Stored(folder).verify()
        assert (report.intact, report.interruptions) == (True, 1)
        (told,) = [record.event for record in records(folder) if isinstance(record.event, Interrupted)]
        assert told.refused == 3
        assert requests(folder) == ["request-0", "request-1", "request-8"]

    def test_when_a_segment_should_begin(self, folder: Path) -> None:
        log = AuditLog.open(folder, key=KEY)
        with files_at_most(0), pytest.raises(AuditError):
            log.append_now(key_use(1))
        log.append_now(key_use(2))
        log.close()
        assert Stored(folder).verify().intact
        assert requests(folder) == ["request-2"]

    def test_leaves_no_piece_of_what_was_refused(self, folder: Path) -> None:
        log = write_trail(folder, records=2, max_bytes=100_000)
        with files_at_most(Stored(folder).files()[-1].stat().st_size + 50), pytest.raises(AuditError):
            log.append_now(prediction(7))
        until(lambda: log.status().head.digest in (folder / "head.json").read_text())
        with TemporaryDirectory() as parent:
            left = Path(parent) / "audit"
            subprocess.run(["cp", "-r", folder, left], check=True)
            assert Stored(left).verify().intact
            AuditLog.open(left, key=KEY).close()
            report = Stored(left).verify()
            assert (report.intact, report.recoveries) == (True, 0)
        log.close()
