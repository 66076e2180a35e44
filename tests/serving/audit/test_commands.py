from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from cxr.errors import CxrError
from cxr.serving.audit.commands import audit
from cxr.serving.audit.log import AuditLog
from support.audit_trail import KEY, Stored, key_use, prediction


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "audit.key"
    path.write_bytes(KEY + b"\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def trail(tmp_path: Path) -> Stored:
    """One prediction among uses of keys."""
    log = AuditLog.open(tmp_path / "audit", key=KEY)
    for number in range(3):
        log.append_now(key_use(number))
    log.append_now(prediction(3))
    log.close()
    return Stored(tmp_path / "audit")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


class TestVerify:
    def test_says_that_all_is_well(self, trail: Stored, key: Path) -> None:
        result = run("verify", trail.folder, "--key", key)
        assert result.exit_code == 0
        assert "1 segments, 6 records, 1 to 6" in result.output
        assert "  intact\n" in result.output

    def test_names_segment_record_and_meaning(self, trail: Stored, key: Path) -> None:
        path = trail.files()[0]
        path.write_bytes(path.read_bytes().replace(b"request-1", b"request-7"))
        result = run("verify", trail.folder, "--key", key)
        assert result.exit_code == 1
        assert "altered: segment-000001.jsonl, record 3: these bytes are not what was written" in result.output
        assert "NOT INTACT: 1 problems" in result.output

    def test_prints_json(self, trail: Stored, key: Path) -> None:
        result = run("verify", trail.folder, "--key", key, "--json")
        assert msgspec.json.decode(result.output)["records"] == 6

    def test_compares_with_a_head(self, trail: Stored, key: Path) -> None:
        head = run("head", trail.folder, "--key", key).output.strip()
        assert run("verify", trail.folder, "--key", key, "--head", head).exit_code == 0
        later = head.replace(":6:", ":9:")
        result = run("verify", trail.folder, "--key", key, "--head", later)
        assert (result.exit_code, "truncated: trail, records 7 to 9" in result.output) == (1, True)
        other = "0" * 16 + head[16:]
        assert "foreign" in run("verify", trail.folder, "--key", key, "--head", other).output

    def test_hints_at_a_wrong_key(self, trail: Stored, key: Path) -> None:
        key.write_bytes(b"x" * 40)
        result = run("verify", trail.folder, "--key", key)
        assert (result.exit_code, "is it the key of this service?" in result.output) == (1, True)

    def test_refuses_a_key_that_others_can_read(self, trail: Stored, key: Path) -> None:
        key.chmod(0o644)
        result = run("verify", trail.folder, "--key", key)
        assert isinstance(result.exception, CxrError)
        assert "closed to others" in str(result.exception)

    def test_refuses_a_place_without_a_trail(self, tmp_path: Path, key: Path) -> None:
        (tmp_path / "empty").mkdir()
        for place in (tmp_path / "nowhere", tmp_path / "empty"):
            result = run("verify", place, "--key", key)
            assert isinstance(result.exception, CxrError)
            assert "must be the folder of an audit trail" in str(result.exception)


class TestHead:
    def test_prints_nothing_of_a_changed_trail(self, trail: Stored, key: Path) -> None:
        trail.files()[0].write_bytes(trail.files()[0].read_bytes()[:-1])
        result = run("head", trail.folder, "--key", key)
        assert (result.exit_code, result.output) == (1, "")
        assert "must be intact" in str(result.exception)


class TestShow:
    def requests(self, result: Result) -> list[str | None]:
        return [msgspec.json.decode(line)["event"].get("request_id") for line in result.output.splitlines()]

    @pytest.mark.parametrize(
        ("options", "found"),
        [
            (["--request", "request-1"], ["request-1"]),
            (["--key-id", "0123456789ab"], ["request-3"]),
            (["--kind", "prediction"], ["request-3"]),
            (["--kind", "key"], ["request-0", "request-1", "request-2"]),
            (["--since", "2999-01-01"], []),
            (["--until", "2000-01-01T00:00:00+0200"], []),
            (["--since", "2000-01-01", "--kind", "sealed"], [None]),
        ],
    )
    def test_filters(self, trail: Stored, key: Path, options: list[str], found: list[str | None]) -> None:
        assert self.requests(run("show", trail.folder, "--key", key, *options)) == found

    def test_leaves_out_what_is_no_record_and_says_so(self, trail: Stored, key: Path) -> None:
        path = trail.files()[0]
        path.write_bytes(path.read_bytes().replace(b"request-1", b"request-7"))
        result = run("show", trail.folder, "--key", key, "--kind", "key")
        assert self.requests(result) == ["request-0", "request-2"]
        assert (result.exit_code, "1 are not" in str(result.exception)) == (1, True)
