"""Component: a canary is watched, and promoted or removed."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote_canary(deployed: Input[Artifact], deployment: str, promoted: Output[Artifact]) -> None:
    """Watch the canary beside the stable predictor; promote it, or remove it.

    Args:
        deployed: From deploy, mode canary.
        deployment: Where, for how long and with which limits, as YAML or JSON; empty for the defaults.
        promoted: The decision, its reasons, and the figures.
    """
    from pathlib import Path

    from cxr.contracts.deployment import resolve_deployment
    from cxr.steps.promote_canary import promote_canary

    promote_canary(deployed=Path(deployed.path), deployment=resolve_deployment(deployment), out=Path(promoted.path))
