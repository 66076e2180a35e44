"""What a shortcut audit says: how far a model decides by what is not disease."""

from pathlib import Path
from typing import Literal

from cxr.contracts.files import Contract, read_json_if_there
from cxr.contracts.metrics import Estimate

SHORTCUTS_FILE = "shortcuts.json"
SHORTCUTS_TABLE = "shortcuts.csv"

HiddenPart = Literal["lungs_hidden", "border_only", "lungs_only"]
ShortcutState = Literal["pass", "warn", "fail"]


class HiddenResult(Contract, frozen=True, kw_only=True):
    """What the findings can be told from when a part of every film is black.

    Attributes:
        part: "lungs_hidden" blacks out the lung fields, "border_only" all but a frame around the chest, "lungs_only"
            all but the lung fields.
        model: macro_auroc, and by finding auroc_<finding>, of the audited model on such films.
        pixels: the same of a logistic regression on 16 × 16 pixels of such films, trained on films of the train part:
            what this data set gives away there, whatever the model uses of it.
    """

    part: HiddenPart
    model: dict[str, Estimate]
    pixels: dict[str, Estimate]


class SourceProbe(Contract, frozen=True, kw_only=True):
    """Whether films of one finding show in the model's embedding where they come from.

    A logistic regression names the source, cross-validated by patient on the test films.

    Attributes:
        finding: of all films of the probe.
        sources: those with enough patients; the probe is undefined with fewer than two.
        balanced_accuracy: mean over sources of the share of their films that are named rightly.
        chance: balanced accuracy of a guess; null where there is nothing to guess.
        macro_auroc: mean over sources of the AUROC of one against the rest; chance is 0.5.
    """

    finding: str
    sources: tuple[str, ...]
    films: int
    patients: int
    chance: float | None
    balanced_accuracy: Estimate
    macro_auroc: Estimate


class PastedResult(Contract, frozen=True, kw_only=True):
    """What an object that says nothing of disease does to the model's probabilities, pasted on every test film.

    Attributes:
        object: a corruption of `cxr.imaging.corrupt`.
        severity: 1..5.
        change: mean total variation between the probabilities without and with it, 0..1.
        flips: share of films whose decision changes.
        shifts: by finding, mean change of its probability.
    """

    object: str
    severity: int
    change: Estimate
    flips: Estimate
    shifts: dict[str, Estimate]


class ShortcutReport(Contract, frozen=True, kw_only=True):
    """An audit of one model on the test films of one index. Intervals are by patient bootstrap.

    Attributes:
        clean: macro_auroc and auroc_<finding> of the model on whole films.
        source_alone: macro AUROC of guessing the finding from nothing but the source, by its shares in the train part:
            how closely this data set ties source and finding. Chance is 0.5.
        pull: by finding, AUROC of its probability for telling films of sources that have distinctly more of it in the
            train part from films of the other sources, among films that have another finding. 0.5 when the model gives
            the source no weight.
        state, reasons: the verdict by `recipe.audit`, in words.
    """

    version: Literal[1] = 1
    films: int
    patients: int
    index: str
    model: str
    resamples: int
    clean: dict[str, Estimate]
    source_alone: Estimate
    hidden: tuple[HiddenResult, ...]
    source_probes: tuple[SourceProbe, ...]
    pull: dict[str, Estimate]
    pasted: tuple[PastedResult, ...]
    state: ShortcutState
    reasons: tuple[str, ...]


def read_packed_shortcuts(reports: Path) -> ShortcutReport | None:
    """The audit among a bundle's reports; None where there was none. Raises `ContractError` when it is malformed."""
    return read_json_if_there(reports / SHORTCUTS_FILE, ShortcutReport)
