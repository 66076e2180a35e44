"""A PostgreSQL of its own for tests, where Debian's is installed."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from support.ports import free_port

PROGRAMS = ("initdb", "postgres", "psql", "pg_dump", "pg_restore", "pg_isready")
_PATIENCE = 60.0


@contextlib.contextmanager
def running() -> Iterator[dict[str, str]]:
    """Start a server with a database `mlflow` of a user `mlflow`; yields the variables that its programs read."""
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        password = root / "password"
        password.write_text("correct-horse\n")
        if user:
            shutil.chown(root, user)
            shutil.chown(password, user)
        port = free_port()
        environment = os.environ | {
            "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "mlflow", "PGPASSWORD": "correct-horse",
            "PGDATABASE": "mlflow",
        }  # fmt: skip
        make = ("initdb", "-D", f"{root}/data", "-U", "mlflow", f"--pwfile={password}", "--auth=scram-sha-256")
        subprocess.run([*make, "--no-sync"], check=True, user=user, cwd=root, capture_output=True)
        serve = ("postgres", "-D", f"{root}/data", "-p", str(port), "-k", str(root))
        server = subprocess.Popen(serve, user=user, cwd=root, stderr=subprocess.DEVNULL)
        try:
            _wait(environment)
            ask(environment, "CREATE DATABASE mlflow", database="postgres")
            yield environment
        finally:
            server.terminate()
            server.wait(_PATIENCE)


def ask(environment: dict[str, str], query: str, *, database: str = "mlflow") -> str:
    """What the server answers to a query."""
    command = ("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname", database, "--command", query)
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def present() -> bool:
    """Whether all programs are installed, and a user to run the server as."""
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return False
    return all(map(shutil.which, PROGRAMS))


def _wait(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while subprocess.run(["pg_isready", "-q", "-d", "postgres"], env=environment, check=False).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError("PostgreSQL does not start")
        time.sleep(0.2)
