"""Every way to change a trail is found, and called by its name."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr.serving.audit.chain import Chain
from cxr.serving.audit.log import AuditLog
from cxr.serving.audit.record import Head
from cxr.serving.audit.report import LIMIT, MEANINGS
from cxr.serving.audit.source import folder_source
from cxr.serving.audit.verify import verify
from support.audit_trail import KEY, Stored, key_use, write_trail

thorough = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["closed_trail", "open_trail"])
def trail(request: pytest.FixtureRequest) -> Stored:
    stored: Stored = request.getfixturevalue(request.param)
    return stored


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def write(path: Path, content: list[bytes]) -> None:
    path.write_bytes(b"".join(content))


def kinds(stored: Stored) -> list[tuple[str, int, int | None]]:
    return [(found.kind, found.sequence, found.until) for found in stored.verify().problems]


def sequence_of(path: Path, index: int) -> int:
    return Chain(KEY).record(lines(path)[index]).sequence


def test_an_untouched_trail_is_intact(trail: Stored) -> None:
    report = trail.verify()
    assert report.intact
    assert (report.segments, report.first) == (len(trail.files()), 1)
    assert report.records == report.last == sum(len(lines(path)) for path in trail.files())
    assert trail.verify(report.head).intact


class TestAnyChangeIsFound:
    @thorough
    @given(data=st.data())
    def test_a_byte(self, trail: Stored, data: st.DataObject) -> None:
        with trail.copy() as changed:
            path = data.draw(st.sampled_from(changed.files()))
            content = bytearray(path.read_bytes())
            place = data.draw(st.integers(0, len(content) - 1))
            content[place] ^= data.draw(st.integers(1, 255))
            path.write_bytes(content)
            assert not changed.verify().intact

    @thorough
    @given(data=st.data())
    def test_bytes_inserted_or_taken_out(self, trail: Stored, data: st.DataObject) -> None:
        with trail.copy() as changed:
            path = data.draw(st.sampled_from(changed.files()))
            content = path.read_bytes()
            start = data.draw(st.integers(0, len(content)))
            end = data.draw(st.integers(start, len(content)))
            new = content[:start] + data.draw(st.binary(max_size=20)) + content[end:]
            path.write_bytes(new)
            assert changed.verify().intact == (new == content)

    @thorough
    @given(data=st.data())
    def test_an_end_cut_off(self, trail: Stored, data: st.DataObject) -> None:
        with trail.copy() as changed:
            path = data.draw(st.sampled_from(changed.files()))
            content = path.read_bytes()
            path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
            assert not changed.verify().intact

    @thorough
    @given(data=st.data())
    def test_lines_dropped_swapped_or_doubled(self, trail: Stored, data: st.DataObject) -> None:
        with trail.copy() as changed:
            placed = [(path, line) for path in changed.files() for line in lines(path)]
            order = data.draw(st.lists(st.integers(0, len(placed) - 1), max_size=len(placed) + 2) | swaps(len(placed)))
            moved = [placed[index][1] for index in order]
            files = [path for path, _ in placed]
            after = dict.fromkeys(files, b"")
            for path, line in zip(files + [files[-1]] * len(moved), moved, strict=False):
                after[path] += line
            before = {path: path.read_bytes() for path in files}
            for path, content in after.items():
                path.write_bytes(content)
            assert changed.verify().intact == (before == after)

    @thorough
    @given(data=st.data())
    def test_segments_removed_or_exchanged(self, trail: Stored, data: st.DataObject) -> None:
        with trail.copy() as changed:
            first, second = data.draw(st.permutations(changed.files()))[:2]
            if data.draw(st.booleans()):
                first.unlink()
            else:
                a, b = first.read_bytes(), second.read_bytes()
                first.write_bytes(b)
                second.write_bytes(a)
            assert not changed.verify().intact


@st.composite
def swaps(draw: st.DrawFn, count: int) -> list[int]:
    order = list(range(count))
    first, second = draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))
    order[first], order[second] = order[second], order[first]
    return order


class TestWhatItIsCalled:
    def test_one_altered_record(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as changed:
            path = changed.files()[1]
            content = lines(path)
            sequence = sequence_of(path, 2)
            content[2] = content[2].replace(b"unauthenticated", b"admitted")
            write(path, content)
            (found,) = changed.verify().problems
            assert (found.kind, found.segment, found.sequence) == ("altered", path.name, sequence)
            assert found.meaning == MEANINGS["altered"]

    def test_missing_records(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as changed:
            path = changed.files()[1]
            content = lines(path)
            first = sequence_of(path, 1)
            write(path, content[:1] + content[3:])
            assert kinds(changed) == [("missing", first, first + 1)]

    def test_two_exchanged_records(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as changed:
            path = changed.files()[1]
            content = lines(path)
            earlier = sequence_of(path, 1)
            content[1], content[2] = content[2], content[1]
            write(path, content)
            assert kinds(changed) == [("reordered", earlier, None)]

    def test_a_record_that_stands_twice(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as changed:
            path = changed.files()[1]
            content = lines(path)
            write(path, [*content[:2], content[1], *content[2:]])
            assert kinds(changed) == [("repeated", sequence_of(path, 1), None)]

    def test_an_inserted_line(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as changed:
            path = changed.files()[1]
            content = lines(path)
            sequence = sequence_of(path, 2)
            write(path, [*content[:2], b'{"sequence":1}\n', *content[2:]])
            assert kinds(changed) == [("altered", sequence, None)]

    def test_a_missing_segment(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as changed:
            path = changed.files()[1]
            gone = ("missing", sequence_of(path, 0), sequence_of(path, -1))
            path.unlink()
            assert kinds(changed) == [gone]

    def test_the_last_segment_gone(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as changed:
            path = changed.files()[-1]
            gone = ("truncated", sequence_of(path, 0), sequence_of(path, -1))
            path.unlink()
            assert kinds(changed) == [gone]

    def test_whole_records_cut_off_an_unsealed_end(self, open_trail: Stored) -> None:
        with open_trail.copy() as changed:
            path = changed.files()[-1]
            last = sequence_of(path, -1)
            write(path, lines(path)[:-1])
            assert kinds(changed) == [("truncated", last, None)]

    def test_a_torn_line(self, open_trail: Stored) -> None:
        with open_trail.copy() as changed:
            path = changed.files()[-1]
            after = sequence_of(path, -1) + 1
            path.write_bytes(path.read_bytes() + b'{"sequence":')
            assert kinds(changed) == [("torn", after, None)]

    @pytest.mark.parametrize(("content", "kind"), [(None, "head_missing"), (b"{}", "head_altered")])
    def test_the_head_file(self, closed_trail: Stored, content: bytes | None, kind: str) -> None:
        with closed_trail.copy() as changed:
            head = changed.folder / "head.json"
            head.unlink() if content is None else head.write_bytes(content)
            assert [found.kind for found in changed.verify().problems] == [kind]

    def test_a_line_without_end(self, closed_trail: Stored) -> None:
        with closed_trail.copy() as changed:
            path = changed.files()[0]
            path.write_bytes(path.read_bytes() + b"x" * (3 << 20))
            assert {kind for kind, _, _ in kinds(changed)} == {"altered"}

    def test_another_key(self, closed_trail: Stored) -> None:
        chain = Chain(b"of somebody else, but long enough")
        report = verify(folder_source(closed_trail.folder, chain), chain)
        assert report.records == 0
        assert {found.kind for found in report.problems} == {"altered", "head_altered"}

    def test_more_problems_than_are_told(self, tmp_path: Path) -> None:
        write_trail(tmp_path / "audit", records=0).close()
        (tmp_path / "audit" / "segment-000001.jsonl").write_bytes(b"no record\n" * (LIMIT + 5))
        report = Stored(tmp_path / "audit").verify()
        assert (len(report.problems), report.problem_count) == (LIMIT, LIMIT + 5)


class TestAnOlderCopy:
    """Somebody puts back all of the folder as it was: only what is kept elsewhere can tell."""

    @pytest.fixture
    def put_back(self, open_trail: Stored, tmp_path: Path) -> tuple[Stored, Head]:
        folder = tmp_path / "audit"
        shutil.copytree(open_trail.folder, folder)
        log = AuditLog.open(folder, key=KEY)
        log.append_now(key_use(100))
        head = log.status().head
        log.close()
        shutil.rmtree(folder)
        shutil.copytree(open_trail.folder, folder)
        return Stored(folder), head

    def test_is_intact_by_itself(self, put_back: tuple[Stored, Head]) -> None:
        assert put_back[0].verify().intact

    def test_is_found_by_a_head(self, put_back: tuple[Stored, Head]) -> None:
        stored, head = put_back
        (found,) = stored.verify(head).problems
        assert (found.kind, found.sequence) == ("truncated", head.sequence)

    def test_is_found_when_it_was_written_on(self, put_back: tuple[Stored, Head]) -> None:
        stored, head = put_back
        log = AuditLog.open(stored.folder, key=KEY)
        log.append_now(key_use(101))
        log.close()
        assert stored.verify().intact
        (found,) = stored.verify(head).problems
        assert (found.kind, found.sequence) == ("forked", head.sequence)


def test_a_head_of_another_trail_is_foreign(closed_trail: Stored) -> None:
    other = Head(trail="0" * 16, sequence=3, digest="0" * 64)
    assert [found.kind for found in closed_trail.verify(other).problems] == ["foreign"]


def test_a_trail_that_is_being_written_verifies(tmp_path: Path) -> None:
    log = write_trail(tmp_path / "audit")
    try:
        assert Stored(tmp_path / "audit").verify().intact
        path = Stored(tmp_path / "audit").files()[-1]
        with path.open("ab") as stream:  # as if a write were under way
            stream.write(b'{"sequence":')
        assert Stored(tmp_path / "audit").verify().intact
    finally:
        log.close()
    assert Stored(tmp_path / "audit").verify().intact
