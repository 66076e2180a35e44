import numpy as np
from sklearn import metrics as oracle

from cxr.evaluation.curves import precision_recall_band, reliability, roc_band
from support.scored import draw_films

FILMS = draw_films(400, quality=1.5, decimals=1)
SCORES, POSITIVE = FILMS.probabilities[:, 2], FILMS.labels == 2


def test_the_roc_band_lies_around_sklearns_curve():
    band = roc_band(SCORES, POSITIVE, FILMS.patients, seed=0)
    alarms, sensitivity, _ = oracle.roc_curve(POSITIVE, SCORES, drop_intermediate=False)
    expected = [sensitivity[alarms <= x + 1e-9].max() for x in band.x]
    np.testing.assert_allclose(band.y, expected)
    assert (band.low <= band.y + 1e-9).all()
    assert (band.high >= band.y - 1e-9).all()
    assert 0.02 < (band.high - band.low).mean() < 0.2


def test_the_precision_band_lies_around_sklearns_curve():
    band = precision_recall_band(SCORES, POSITIVE, FILMS.patients, seed=0)
    precision, recall, _ = oracle.precision_recall_curve(POSITIVE, SCORES)
    expected = [precision[:-1][recall[:-1] >= x - 1e-9][-1] for x in band.x]
    np.testing.assert_allclose(band.y, expected)
    assert (band.low <= band.high).all()


def test_reliability_compares_means_with_shares():
    found = reliability(SCORES, POSITIVE, FILMS.patients, bins=8, seed=0)
    assert found.films.sum() == 400
    np.testing.assert_allclose((found.given * found.films).sum(), SCORES.sum())
    np.testing.assert_allclose((found.observed * found.films).sum(), POSITIVE.sum())
    assert (found.low <= found.observed).all()
    assert (found.observed <= found.high).all()
    assert (np.diff(found.given) > 0).all()
