"""What the model registry was told: which version a bundle became, and whether it may be champion."""

from typing import Literal

from cxr.contracts.files import Contract

REGISTRATION_FILE = "registration.json"
PROMOTION_FILE = "promotion.json"


class Verdict(Contract, frozen=True, kw_only=True):
    """What the gate says of a model.

    Attributes:
        passed: it may become champion.
        reasons: one sentence per failed check when refused; what it was held against when passed.
        champion: model version that it was compared with; null when there was none.
    """

    passed: bool
    reasons: tuple[str, ...]
    champion: str | None = None


class Registration(Contract, frozen=True, kw_only=True):
    """A bundle in the registry, with alias `challenger`.

    Attributes:
        model: name of the registered model.
        model_version: of that model; registering the same bundle again gives the same one.
        run_id: tracking run that holds its parameters, metrics, figures and files.
        bundle: digest of the bundle.
    """

    version: Literal[1] = 1
    model: str
    model_version: str
    run_id: str
    bundle: str
    verdict: Verdict


class Promotion(Contract, frozen=True, kw_only=True):
    """What came of asking for a promotion.

    Attributes:
        promoted: the version has alias `champion`.
        replaced: the version that had it before, when it was another.
        reasons: the verdict's.
    """

    version: Literal[1] = 1
    model: str
    model_version: str
    promoted: bool
    replaced: str | None = None
    reasons: tuple[str, ...]
