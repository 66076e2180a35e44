"""Every error that cxr raises on purpose.

    CxrError
    ├── RecipeError       a recipe, an override or a search space is not valid
    ├── ContractError     a file between two steps is missing, malformed or of another version
    ├── SourceError       what --data names cannot be read
    ├── RejectedFilm      one picture cannot be used as a frontal chest radiograph (has a `code`)
    ├── SplitError        a split would leak patients or leave a class without films
    ├── SearchError       the hyperparameter search gave no usable trial
    ├── TrainingError     training cannot start or diverged
    ├── BundleError       a bundle is incomplete, changed or does not agree with its weights
    ├── ServingError      the service cannot start, or not safely
    │   └── AuditError    the audit trail cannot be opened, written, shipped or read (cxr.serving.audit)
    ├── RegistryError     the model registry cannot be reached or refuses
    ├── ClusterError      the Kubernetes cluster cannot be reached or refuses, or what should run there is not valid
    └── PipelineError     a pipeline step failed; the message is the step's own

A message says the condition that must hold, the value received and what to do. The CLI prints the message of a
`CxrError` on one line and exits with 1; any other exception is a defect and keeps its traceback.
"""


class CxrError(Exception):
    """Base of every error that a user of cxr can act on."""


class RecipeError(CxrError):
    """A recipe, a dotted override or a search space is not valid."""


class ContractError(CxrError):
    """A file between two steps is missing, malformed or of another version."""


class SourceError(CxrError):
    """What --data names cannot be read."""


class RejectedFilm(CxrError):  # noqa: N818 - a verdict on a picture, not a failure
    """One picture cannot be used as a frontal chest radiograph.

    Attributes:
        code: machine-readable reason, one of `REJECTION_CODES`.
        reason: what is wrong and what to do, for a person. Never holds a header value that could identify a patient.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class SplitError(CxrError):
    """A split would leak patients or leave a class without films."""


class SearchError(CxrError):
    """The hyperparameter search gave no usable trial."""


class TrainingError(CxrError):
    """Training cannot start or diverged."""


class BundleError(CxrError):
    """A bundle is incomplete, changed or does not agree with its weights."""


class ServingError(CxrError):
    """The service cannot start, or not safely."""


class RegistryError(CxrError):
    """The model registry cannot be reached or refuses."""


class ClusterError(CxrError):
    """The Kubernetes cluster cannot be reached or refuses, or what should run there is not valid."""


class PipelineError(CxrError):
    """A pipeline step failed."""


REJECTION_CODES = (
    "empty_file",
    "not_an_image",
    "corrupt",
    "too_small",
    "too_large",
    "constant",
    "no_pixels",
    "unsupported_encoding",
    "wrong_modality",
    "wrong_body_part",
    "wrong_view",
    "rotated",
    "not_a_chest_film",
    "unreadable",
    "unknown_label",
    "conflicting_label",
)
