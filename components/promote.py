"""Component: promotion to champion."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(registration: Input[Artifact], tracking_uri: str, promotion: Output[Artifact]) -> None:
    """Make the registered version champion if its verdict allows it.

    Args:
        registration: From register.
        tracking_uri: MLflow server with a model registry.
        promotion: What came of it.
    """
    from pathlib import Path

    from cxr.steps.register import promote

    promote(registration=Path(registration.path), out=Path(promotion.path), tracking_uri=tracking_uri)
