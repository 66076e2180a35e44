import io

import numpy as np
from PIL import Image

from cxr.reporting.activation_sheet import SheetFilm, draw_activation_sheet


def film(label, decision, grey):
    picture = np.full((40, 40, 3), grey, np.uint8)
    picture[:20] = 255 - grey
    return SheetFilm(film=picture, overlay=picture[::-1].copy(), label=label, decision=decision, probability=0.8)


def drawn(rows):
    buffer = io.BytesIO()
    draw_activation_sheet(rows).savefig(buffer)
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def test_decisions_are_green_when_right_and_red_when_wrong():
    def excess(picture, channel):
        return (picture[..., channel] - np.delete(picture, channel, axis=2).max(axis=2)).max()

    right, wrong = drawn([[film("Normal", "Normal", 10)]]), drawn([[film("Normal", "Pneumonia", 10)]])
    assert excess(right, 1) > 30 > excess(right, 0)
    assert excess(wrong, 0) > 30 > excess(wrong, 1)


def test_rows_may_be_of_different_lengths():
    texts = [
        axes.get_title(loc="right")
        for axes in draw_activation_sheet(
            [[film("Normal", "Normal", 0)], [film("Pneumonia", "Normal", 0), film("Pneumonia", "Pneumonia", 0)]]
        ).axes
    ]
    assert texts == ["→ Normal 0.80", "", "→ Normal 0.80", "→ Pneumonia 0.80"]
