"""A cross-validation over sources as the step writes it, with figures that no two cells share."""

from itertools import count

from cxr.contracts.crossval import Crossval, FoldScore, SourceScore, UnseenTrust, UntrainedFold
from cxr.contracts.metrics import Estimate, FindingCoverage, PredictionSetReport
from cxr.domain import TAXONOMY

FINDINGS = tuple(TAXONOMY)
LACKS = "the train films have no Tuberculosis"


def make_crossval(*, recipe: str = "r", index: str = "i", initial_weights: str = "random") -> Crossval:
    """Two folds that were trained and one that was not."""
    places = count(501)

    def estimate() -> Estimate:
        value = next(places) / 1000
        return Estimate(value=value, low=value - 0.05, high=value + 0.05)

    def trust() -> UnseenTrust:
        sets = PredictionSetReport(
            error=0.1,
            coverage=estimate(),
            per_class={name: FindingCoverage(patients=9, coverage=estimate(), chance=None) for name in FINDINGS},
            mean_size=estimate(),
            empty=estimate(),
            single=estimate(),
            multiple=estimate(),
            single_right=estimate(),
        )
        return UnseenTrust(prediction_sets=sets, refer_rate=estimate(), error=estimate(), ece=estimate())

    folds = tuple(
        FoldScore(
            withheld=withheld,
            train_films=300,
            test_films=films,
            best_epoch=3,
            seconds=60.0,
            metrics={"macro_auroc": estimate(), "accuracy": estimate()},
            trust=trust(),
        )
        for withheld, films in ((("north", "south"), 71), (("south", "west"), 83))
    )
    sources = tuple(
        SourceScore(
            source=name,
            own=FINDINGS[:2],
            borrowed=FINDINGS[2:],
            networks=networks,
            films=37,
            macro_auroc=estimate(),
        )
        for name, networks in (("north", 1), ("south", 2), ("west", 1))
    )
    return Crossval(
        index=index,
        recipe=recipe,
        initial_weights=initial_weights,
        seed=42,
        folds=folds,
        sources=sources,
        pairs=(),
        worst_source_auroc=estimate(),
        mean_source_auroc=estimate(),
        accuracy=estimate(),
        trust=trust(),
        untrained=(UntrainedFold(withheld=("east",), reason=LACKS),),
    )
