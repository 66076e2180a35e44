"""Component: a bundle into the InferenceService that serves it."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy(
    bundle: Input[Model], registration: Input[Artifact], mode: str, deployment: str, deployed: Output[Artifact]
) -> None:
    """Serve the bundle, or give it a canary's part of the traffic; what fails is taken back.

    Args:
        bundle: From package.
        registration: From register; says where the bundle lies.
        mode: print, apply or canary.
        deployment: Where, as YAML or JSON; empty for the defaults.
        deployed: What was done, and the chart's values that serve the bundle.
    """
    from pathlib import Path

    from cxr.contracts.deployment import read_mode, resolve_deployment
    from cxr.steps.deploy import deploy

    deploy(
        bundle=Path(bundle.path),
        registration=Path(registration.path),
        mode=read_mode(mode),
        deployment=resolve_deployment(deployment),
        out=Path(deployed.path),
    )
