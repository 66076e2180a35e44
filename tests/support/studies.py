"""Small studies made of noise, for tests that need films but no anatomy."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split


def write_separate_sources(folder: Path, *, films: int) -> StudyIndex:
    """Noise studies whose sources share no patient."""
    index = write_noise_studies(folder, films=films)
    separate = StudyIndex(index.films.assign(patient_id=index.films["group_id"]))
    separate.write(folder)
    return separate


def write_noise_studies(folder: Path, *, films: int, side: int = 40, seed: int = 0) -> StudyIndex:
    """Studies whose classes differ in brightness, with all three splits; learnable in a few steps."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    parts = [Split.TRAIN] * 4 + [Split.VALIDATION, Split.TEST]
    rows = []
    for number in range(films):
        label = number % 3
        grey = rng.integers(0, 90, (side, side)) + 30
        grey[: side // 3 * (label + 1)] += 60
        image_id = f"{number:064d}"
        Image.fromarray(grey.astype(np.uint8)).save(folder / "images" / f"{image_id}.png")
        rows.append(
            {
                "image_id": image_id,
                "patient_id": f"p{number // 2}",
                "study_id": None,
                "label": TAXONOMY.findings[label],
                "source": "ab"[number % 2],
                "view": "PA",
                "sex": "FM"[number % 2],
                "age": float(number % 80),
                "age_group": "paediatric" if number % 80 < 18 else "adult",
                "group_id": f"g{number}",
                "split": str(parts[number // 3 % 6]),
                "width": side,
                "height": side,
                "sha256": f"{number:064x}",
            }
        )
    index = StudyIndex(pd.DataFrame(rows))
    index.write(folder)
    return index
