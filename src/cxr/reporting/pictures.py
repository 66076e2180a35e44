"""The figures and films that a report shows, with the words that stand for them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from cxr.contracts.studies import IMAGES_FOLDER

SAMPLES = 12
WIDE = 1200
"""Pixels of a figure that is too detailed to be shown beside another, or reduced to a telephone's width."""

_FILMS = ("activation_maps", "corruptions")
_CAPTIONS = {
    "search": "The search: the best value so far, each trial's course, what mattered, and the values that were tried.",
    "training": "Losses, validation performance and learning rate by epoch; the dotted line is the epoch kept.",
    "confusion": "Films by true finding and decision.",
    "confusion_matrix": "Films by true finding and decision.",
    "roc": "Receiver operating characteristic of each finding against the rest.",
    "pr": "Precision against recall of each finding against the rest.",
    "precision_recall": "Precision against recall of each finding against the rest.",
    "reliability": "Reliability: how often a decision is right, by the probability given to it.",
    "robustness": "What each corruption costs at each severity: points of accuracy and macro AUROC lost.",
    "corruptions": "What the corruptions look like: one film, clean and at severities 1 to 5.",
    "activation_maps": "Where evidence was taken from: films decided rightly and wrongly, with their maps.",
    "risk_coverage": "Wrong decisions against the share of films decided, the surest first, with a 95% band.",
    "subgroups": "Subgroups of the evaluated films.",
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure file.

    Attributes:
        path: PNG.
        caption: one sentence.
        wide: too detailed to be shown small.
        film: it shows radiographs and must keep its grey levels.
    """

    path: Path
    caption: str
    wide: bool
    film: bool

    @property
    def name(self) -> str:
        """Its file name without ending."""
        return self.path.stem

    @property
    def alt(self) -> str:
        """Words in place of the picture; the numbers are in the tables beside it."""
        return self.caption.rstrip(".") + (
            ". The scores are in the table of this section." if self.film else ". The numbers are in the tables here."
        )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A film of the data set."""

    path: Path
    label: str
    source: str
    details: str


def read_pictures(folder: Path) -> tuple[Picture, ...]:
    """Every PNG of a step's `figures/`, those with a known caption first and in its order."""
    rank = {name: position for position, name in enumerate(_CAPTIONS)}
    found = sorted((folder / "figures").glob("*.png"), key=lambda path: (rank.get(path.stem, len(rank)), path.stem))
    return tuple(picture(path) for path in found)


def picture(path: Path) -> Picture:
    """A figure file with its caption."""
    caption = _CAPTIONS.get(path.stem, path.stem.replace("_", " ").capitalize() + ".")
    with Image.open(path) as image:
        wide = image.width > WIDE
    return Picture(path=path, caption=caption, wide=wide, film=path.stem in _FILMS)


def choose_samples(
    films: pd.DataFrame, studies: Path, findings: tuple[str, ...], *, most: int = SAMPLES
) -> list[Sample]:
    """Training films, the same number of each class, from as many sources as there are; always the same ones."""
    training = films[(films["split"] == "train") & films["label"].isin(findings)].sort_values("image_id")
    turn = training.groupby(["label", "source"], dropna=False).cumcount()
    ordered = training.assign(turn=turn).sort_values(["turn", "source", "image_id"])
    chosen = [ordered[ordered["label"] == finding].head(most // len(findings)) for finding in findings]
    return [_sample(row, studies) for _, row in pd.concat(chosen).iterrows()]


def _sample(row: "pd.Series[str]", studies: Path) -> Sample:
    details = [str(row[name]) for name in ("view", "sex", "age_group") if pd.notna(row[name])]
    return Sample(
        path=studies / IMAGES_FOLDER / f"{row['image_id']}.png",
        label=str(row["label"]),
        source=str(row["source"]) if pd.notna(row["source"]) else "unknown source",
        details=", ".join(details),
    )
