"""Study indexes of made-up patients, as films to divide."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from hypothesis import assume
from hypothesis import strategies as st

from cxr.contracts.recipe import SplitRecipe
from cxr.contracts.split import Fold
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY
from cxr.steps.split import leave_one_source_out


def frame(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Rows of a study index; what a row does not say is unknown, and its group is its own."""
    films = []
    for number, row in enumerate(rows):
        digest = hashlib.sha256(str(row.get("name", number)).encode()).hexdigest()
        unknown = dict.fromkeys(
            ("patient_id", "study_id", "label", "source", "view", "sex", "age", "age_group", "split")
        )
        sizes = {"width": 224, "height": 224, "sha256": digest}
        known = {name: value for name, value in row.items() if name != "name"}
        films.append({"image_id": digest, "group_id": digest} | unknown | sizes | known)
    return pd.DataFrame(films)


def cohort(
    *, patients: int, seed: int = 0, sources: int = 3, most: int = 4, mixed: float = 0.2, weights: Sequence[float] = ()
) -> pd.DataFrame:
    """Films of patients with 1 to `most` films; some patients have films of several classes."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        source = f"source {rng.integers(sources)}"
        label = rng.choice(TAXONOMY.findings, p=list(weights) or None)
        for film in range(rng.integers(1, most + 1)):
            other = rng.choice(TAXONOMY.findings) if rng.random() < mixed else label
            rows.append(
                {"name": f"{patient}/{film}", "patient_id": f"p{patient}", "group_id": f"g{patient}"}
                | {"label": str(other), "source": source}
            )
    return frame(rows)


@st.composite
def cohorts(draw: st.DrawFn) -> pd.DataFrame:
    """Cohorts that can be divided: every finding has a patient for each of three parts."""
    films = cohort(
        patients=draw(st.integers(30, 120)),
        seed=draw(st.integers(0, 10**6)),
        sources=draw(st.integers(1, 6)),
        most=draw(st.integers(1, 6)),
        mixed=draw(st.sampled_from([0.0, 0.2, 1.0])),
    )
    patients = films.groupby("label")["patient_id"].nunique()
    assume(all(patients.get(finding, 0) >= 3 for finding in TAXONOMY))
    return films


def folds_of(films: pd.DataFrame, **recipe: object) -> tuple[StudyIndex, tuple[Fold, ...]]:
    index = StudyIndex(films)
    return index, leave_one_source_out(index, recipe=SplitRecipe(**recipe), seed=42).folds
