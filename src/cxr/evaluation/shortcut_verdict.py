"""The verdict of a shortcut audit, in words that a person can check against the report."""

from collections.abc import Iterator, Mapping, Sequence

from cxr.contracts.metrics import Estimate
from cxr.contracts.recipe import AuditRecipe
from cxr.contracts.shortcuts import HiddenResult, PastedResult, ShortcutState

_Finding = tuple[ShortcutState, str]
_WITHOUT_LUNGS = {"lungs_hidden": "with the lungs blacked out", "border_only": "from the border of the film alone"}


def judge_shortcuts(
    limits: AuditRecipe,
    *,
    hidden: Sequence[HiddenResult],
    source_alone: Estimate,
    pull: Mapping[str, Estimate],
    pasted: Sequence[PastedResult],
) -> tuple[ShortcutState, tuple[str, ...]]:
    """The worst of what was found, and every reason; one reassuring reason when nothing was.

    What the model does fails when its whole interval is over the limit, and warns when only its value is. What the data
    give away, and how decisions change under objects on the film, says less of the model: it warns when its whole
    interval is over the limit.
    """
    found = [
        *_without_lungs(limits, hidden),
        *_sources(limits, source_alone, pull),
        *_objects(limits, pasted),
    ]
    if not found:
        return "pass", ("no figure of the audit is over its limit",)
    state: ShortcutState = "fail" if any(state == "fail" for state, _ in found) else "warn"
    return state, tuple(words for _, words in sorted(found))


def _without_lungs(limits: AuditRecipe, hidden: Sequence[HiddenResult]) -> Iterator[_Finding]:
    for result in hidden:
        if result.part not in _WITHOUT_LUNGS:
            continue
        limit = limits.hidden_auroc if result.part == "lungs_hidden" else limits.border_auroc
        where = _WITHOUT_LUNGS[result.part]
        yield from _over(f"macro AUROC of the model {where}", result.model["macro_auroc"], limit, serious=True)
        yield from _over(
            f"macro AUROC that a few pixels reach {where}",
            result.pixels["macro_auroc"],
            limits.pixel_auroc,
            serious=False,
        )


def _sources(limits: AuditRecipe, source_alone: Estimate, pull: Mapping[str, Estimate]) -> Iterator[_Finding]:
    yield from _over(
        "macro AUROC of guessing the finding from the source", source_alone, limits.source_auroc, serious=False
    )
    for finding, value in pull.items():
        words = f"AUROC of the probability of {finding} for sources that are rich in it, among films without it,"
        yield from _over(words, value, limits.pull_auroc, serious=True)


def _objects(limits: AuditRecipe, pasted: Sequence[PastedResult]) -> Iterator[_Finding]:
    for result in pasted:
        words = f"share of decisions that change with a {result.object.replace('_', ' ')} (severity {result.severity})"
        yield from _over(words, result.flips, limits.flips, serious=False)


def _over(words: str, value: Estimate, limit: float, *, serious: bool) -> Iterator[_Finding]:
    """A finding when a value is over its limit; only a serious one can fail, any other must be surely over it."""
    if value.value is None or value.value <= limit:
        return
    surely = value.low is not None and value.low > limit
    if not (serious or surely):
        return
    interval = "" if value.low is None or value.high is None else f" (95% CI {value.low:.3f}-{value.high:.3f})"
    yield (
        "fail" if serious and surely else "warn",
        f"{words} must be at most {limit:.3f}, is {value.value:.3f}{interval}",
    )
