"""The services of compose.yaml, brought up and down by the Makefile's own targets."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.podman import environment, podman

ROOT = Path(__file__).parents[2]
SERVICES = ("drift", "predictor", "mlflow", "prometheus")
PATIENCE = 300


@dataclass(frozen=True)
class Composition:
    """A project of podman-compose, and the folders that its containers keep.

    Attributes:
        project: names containers and network.
        run: whose bundle is served; no registry is asked.
        folder: of what is kept, in one folder for each of predictor, MLflow and Prometheus.
        uid: of every container, and of what it keeps.
        images: variables that name the images of others.
    """

    project: str
    run: Path
    folder: Path
    uid: int
    images: dict[str, str]

    @property
    def state(self) -> Path:
        """Of predictor and sidecar."""
        return self.folder / "serving"

    @property
    def containers(self) -> list[str]:
        return [self.container(service) for service in SERVICES]

    def container(self, service: str) -> str:
        return f"{self.project}_{service}_1"

    def prepare(self) -> None:
        """Make what is mounted, and give it to the containers' user, as whose it would be made on a host."""
        folders = [f"--{name}={self.folder / place}" for name, place in self._places.items()]
        command = [sys.executable, "images/prepare.py", f"--run={self.run}", *folders, self._no_registry]
        subprocess.run(command, cwd=ROOT, check=True)
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, self.uid, self.uid)

    def up(self) -> None:
        self._make("compose-up")

    def down(self) -> None:
        self._make("compose-down")

    def remove(self) -> None:
        """Leave nothing, however far it came."""
        podman("rm", "--force", "--ignore", "--time", "0", *self.containers)
        podman("network", "rm", "--force", f"{self.project}_default")

    @property
    def _places(self) -> dict[str, str]:
        return {"state": "serving", "mlflow": "mlflow", "prometheus": "prometheus"}

    @property
    def _no_registry(self) -> str:
        return f"--tracking-uri=sqlite:///{self.folder.parent}/none.db"

    def _make(self, target: str) -> None:
        given = {
            "COMPOSE": f"podman-compose --project-name {self.project}",
            "RUN": self.run,
            "ARGS": self._no_registry,
            "CXR_UID": self.uid,
            "CXR_GID": self.uid,
            **{f"CXR_{name.upper()}": self.folder / place for name, place in self._places.items()},
            **self.images,
        }
        # What a make around the tests was told is not for this one.
        inherited = {name: value for name, value in environment().items() if not name.startswith(("MAKE", "MFLAGS"))}
        words = [f"{name}={value}" for name, value in given.items()]
        subprocess.run(["make", target, *words], cwd=ROOT, env=inherited, timeout=PATIENCE, check=True)
