"""Make what compose.yaml mounts and is not there yet: the bundle to serve, secrets, a certificate, folders.

python images/prepare.py --run RUN --state FOLDER --mlflow FOLDER --prometheus FOLDER
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cxr.errors import CxrError
from cxr.serving.local import champion_bundle, prepare
from cxr.serving.security.keys import Scope, create_key
from cxr.serving.security.private import write_private

METRICS_KEY = "metrics.key"
"""What Prometheus shows the predictor; it opens nothing that the audit trail or an administrator guards."""


def prepare_containers(
    *, run: Path, state: Path, mlflow: Path, prometheus: Path, tracking_uri: str, hosts: Sequence[str] = ()
) -> None:
    """Fill `state`, which predictor and sidecar keep, and make the folders of MLflow and Prometheus.

    The bundle is the registry's champion, or else the run's; another one than before takes the place of the old.
    `hosts` are names and addresses that the certificate holds besides this machine's.

    Raises:
        ServingError: there is no bundle to serve.
        BundleError: the bundle is incomplete or changed.
    """
    for folder in (state / "drift", mlflow, prometheus):
        folder.mkdir(parents=True, exist_ok=True)
    champion_bundle(run=run, state=state, tracking_uri=tracking_uri, model_name="cxr")
    prepare(state, hosts=hosts)
    if not (state / METRICS_KEY).exists():
        secret = create_key(state / "keys.json", scopes=(Scope.PREDICT,))
        write_private(state / METRICS_KEY, secret.encode() + b"\n")


def main() -> None:
    """Parse and prepare."""
    parser = argparse.ArgumentParser(description="Make what compose.yaml mounts and is not there yet.")
    parser.add_argument("--run", type=Path, default=Path("runs/last"))
    for name in ("state", "mlflow", "prometheus"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--tracking-uri", default="sqlite:///runs/mlflow.db")
    parser.add_argument("--host", action="append", dest="hosts", default=[], help="of clients: name or address")
    try:
        prepare_containers(**vars(parser.parse_args()))
    except CxrError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
