"""What a search maximised, in words."""

from cxr.contracts.search import Objective

_LABELS: dict[Objective, str] = {
    "macro_auroc": "Validation macro AUROC",
    "worst_source_auroc": "Macro AUROC, worst unseen source",
}
_COMPARED: dict[Objective, str] = {
    "macro_auroc": "macro AUROC on validation films",
    "worst_source_auroc": "the macro AUROC of the worst of the sources, each withheld",
}


def objective_label(objective: Objective) -> str:
    """Of an axis or a column."""
    return _LABELS[objective]


def objective_words(objective: Objective) -> str:
    """What trials were compared by, within a sentence."""
    return _COMPARED[objective]
