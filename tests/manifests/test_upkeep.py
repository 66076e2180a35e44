"""The database's upkeep: what the CronJobs run, run against a real PostgreSQL."""

import subprocess

import pytest

from support import postgres
from support.kustomize import pod_specs


@pytest.fixture(scope="module")
def database():
    """Variables of a server with a table of runs, or a skip."""
    if not postgres.present():
        pytest.skip("no PostgreSQL here (apt-get install postgresql)")
    with postgres.running() as environment:
        postgres.ask(environment, "CREATE TABLE runs (id int PRIMARY KEY, name text)")
        yield environment


@pytest.fixture
def execute(overlays, database, tmp_path):
    """Runs what a CronJob's container would, with folders of the test's own in the place of its volumes."""
    pods = dict(pod_specs(overlays["production"]))

    def run(name, **variables):
        (container,) = pods[name]["containers"]
        (script,) = container["args"]
        script = script.replace("/backups", f"{tmp_path}/backups").replace("/tmp/all.sql", f"{tmp_path}/all.sql")  # noqa: S108
        given, command = database | variables, [*container["command"], script]
        return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)

    (tmp_path / "backups").mkdir()
    return run


def fill(database, *names):
    postgres.ask(database, "DELETE FROM runs")
    for number, name in enumerate(names):
        postgres.ask(database, f"INSERT INTO runs VALUES ({number}, '{name}')")  # noqa: S608


def test_a_restore_gives_back_what_was_dumped_and_nothing_else(database, execute):
    fill(database, "first", "second")
    assert execute("mlflow-backup").returncode == 0
    fill(database, "other")
    postgres.ask(database, "CREATE TABLE later (id int)")
    assert execute("mlflow-restore").returncode == 0
    assert postgres.ask(database, "SELECT string_agg(name, ',' ORDER BY id) FROM runs") == "first,second"
    assert postgres.ask(database, "SELECT to_regclass('later') IS NULL") == "t"


def test_a_broken_dump_changes_nothing(database, execute, tmp_path):
    fill(database, "first")
    assert execute("mlflow-backup").returncode == 0
    (dump,) = (tmp_path / "backups").glob("*.dump")
    dump.write_bytes(dump.read_bytes()[:-40])
    fill(database, "kept")
    assert execute("mlflow-restore").returncode != 0
    assert postgres.ask(database, "SELECT name FROM runs") == "kept"


def test_a_restore_takes_the_dump_that_is_asked_for(database, execute, tmp_path):
    fill(database, "good")
    assert execute("mlflow-backup").returncode == 0
    (dump,) = (tmp_path / "backups").glob("*.dump")
    asked = dump.rename(dump.with_name("mlflow-20260101T021500Z.dump"))
    fill(database, "damaged")
    assert execute("mlflow-backup").returncode == 0
    assert execute("mlflow-restore", DUMP=str(asked)).returncode == 0
    assert postgres.ask(database, "SELECT name FROM runs") == "good"


def test_the_newest_fourteen_dumps_are_kept(execute, tmp_path):
    folder = tmp_path / "backups"
    for day in range(10, 28):
        (folder / f"mlflow-202601{day}T021500Z.dump").touch()
    (folder / "mlflow-20260128T021500Z.dump.part").touch()
    assert execute("mlflow-backup").returncode == 0
    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == 14
    assert kept[0] == "mlflow-20260115T021500Z.dump"


def test_a_dump_that_fails_leaves_nothing_that_looks_like_one(database, execute, tmp_path, monkeypatch):
    monkeypatch.setitem(database, "PGDATABASE", "no such database")
    assert execute("mlflow-backup").returncode != 0
    assert not list((tmp_path / "backups").glob("*.dump"))
