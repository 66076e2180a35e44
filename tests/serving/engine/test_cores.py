import pytest

from cxr.serving.engine.cores import core_limit


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000", None), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("nonsense", None)],
)
def test_the_limit_of_cgroups_2(tmp_path, content, cores):
    (tmp_path / "cpu.max").write_text(content + "\n")
    assert core_limit(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", None), ("400000", 4), ("250000", 3), ("1000", 1)])
def test_the_limit_of_cgroups_1(tmp_path, quota, cores):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert core_limit(tmp_path) == cores


def test_no_cgroups_no_limit(tmp_path):
    assert core_limit(tmp_path) is None
