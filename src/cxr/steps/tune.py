"""Tune: search the recipe's search space for the values that do best on the validation films."""

import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec
import torch

from cxr.contracts.cluster import Cluster
from cxr.contracts.recipe import Recipe
from cxr.contracts.search_report import SearchReport, Trial, TrialState
from cxr.contracts.search_rules import check_search
from cxr.contracts.studies import StudyIndex
from cxr.errors import SearchError, TrainingError
from cxr.progress import progress
from cxr.steps.resuming import check_weights, state_key
from cxr.steps.search_files import write_search
from cxr.steps.trials import TrialBench, trial_bench

if TYPE_CHECKING:
    from cxr.adapters.optuna_search import Search
    from cxr.adapters.search_log import SearchLog

logger = logging.getLogger(__name__)

Engine = Literal["embedded", "katib"]


def tune(
    *,
    studies: Path,
    split: Path,
    recipe: Recipe,
    out: Path,
    scratch: Path,
    weights: Path | None = None,
    tracking_uri: str | None = None,
    experiment: str = "cxr",
    device: str | None = None,
    engine: str = "embedded",
    cluster: Cluster | None = None,
) -> SearchReport:
    """Search the recipe's search space and write the best recipe.

    On this machine, trial 0 is the recipe as given, so the search never ends with worse values than it began with.
    Killed at any point and called again with the same arguments, it makes the trials that are left, and ends as an
    uninterrupted search would; with more `search.trials`, it goes on from those already made. In Katib, trials are
    pods: see `cxr.steps.cluster.search`.

    Args:
        studies: images.
        split: index; a trial learns from its training films and is judged on its validation films.
        recipe: where the search starts and what it searches; `search.trials` 0 keeps the recipe as it is.
        out: folder to write: recipe.json (the best), search.json, trials.csv, figures/search.png.
        scratch: decoded films and the trials made so far are kept there; must outlive the process.
        weights: file of initial weights instead of ImageNet's.
        tracking_uri: MLflow server that records the search and every trial; none when None.
        experiment: of MLflow.
        device: "cpu", "cuda", …; the first GPU, or the CPU, when None. Katib's trials have the GPUs of their pods.
        engine: "embedded" searches in this process, "katib" in a cluster.
        cluster: where Katib's trials run; the defaults when None.

    Raises:
        RecipeError: the search space does not fit the recipe, or the engine.
        ContractError: the index or an image is missing or malformed.
        ClusterError: the cluster cannot be reached or refuses.
        SplitError: the objective is of unseen sources, and there are no two of them, no fold has all findings to learn,
            or the folds are those of another index or of other linked sources.
        SearchError: there is no such engine, every trial failed, or another process is running the same search.
        TrainingError: the file of initial weights is missing.
        RegistryError: the MLflow server cannot be reached.
    """
    if engine not in get_args(Engine):
        raise SearchError(f"the engine of a search must be one of {', '.join(get_args(Engine))}, is {engine!r}")
    check_search(recipe)
    index = StudyIndex.read(split)
    if recipe.search.trials == 0:
        report = SearchReport.of(recipe, (), planned=0, films=0, index=index.digest)
        write_search(out, recipe, report)
        logger.info("nothing was searched: the recipe is kept as it is; set search.trials to search")
        return report
    check_weights(weights)
    if engine == "katib":
        from cxr.steps.cluster.search import tune_in_katib

        return tune_in_katib(
            studies=studies,
            split=split,
            recipe=recipe,
            out=out,
            scratch=scratch,
            weights=weights,
            tracking_uri=tracking_uri,
            experiment=experiment,
            cluster=cluster or Cluster(),
        )
    from cxr.adapters.optuna_search import open_search
    from cxr.adapters.search_log import SearchLog

    bench = trial_bench(studies=studies, split=split, recipe=recipe, scratch=scratch, weights=weights, device=device)
    chosen = msgspec.structs.replace(recipe.search, trials=0)  # so that a search can be made longer
    state = scratch / f"search-{state_key(recipe, index, weights, search=chosen)}"
    with open_search(state, recipe) as search:
        key = f"{search.identity}-{search.planned}"
        log = (
            None
            if tracking_uri is None
            else SearchLog(tracking_uri, experiment, key=key, objective=recipe.search.objective)
        )
        _search(search, bench, log)
        trials, importance = search.trials[: search.planned], search.importance()
    if all(trial.state == "failed" for trial in trials):
        shutil.rmtree(state)  # the next call tries again
        reasons = "; ".join(sorted({trial.reason for trial in trials if trial.reason}))
        if log is not None:
            log.fail(reasons)
        raise SearchError(f"at least one trial must be completed, all {len(trials)} failed: {reasons}")
    report = SearchReport.of(
        recipe,
        trials,
        planned=len(trials),
        films=bench.films,
        index=index.digest,
        importance=importance,
        untrained=bench.untrained,
    )
    write_search(out, recipe, report)
    if log is not None:
        log.end(report, out)
    return report


def _search(search: "Search", bench: TrialBench, log: "SearchLog | None") -> None:
    """Make the trials that are left."""
    ended = search.trials
    if ended:
        logger.info("resuming the search after %d of %d trials", len(ended), search.planned)
    with progress("search", search.planned) as advance:
        for number in range(search.planned):
            trial = ended[number] if number < len(ended) else _try(search, bench)
            if log is not None:
                log.trial(trial)
            advance(1)


def _try(search: "Search", bench: TrialBench) -> Trial:
    """Make the next trial; training that diverges or does not fit into memory fails the trial, not the search."""
    proposal = search.propose()
    curve: list[float] = []

    def watch(epoch: int, value: float) -> bool:
        curve.append(value)
        return search.observe(proposal, epoch=epoch, value=value)

    start = time.perf_counter()
    reason = None
    try:
        judged = bench.judge(proposal.parameters, watch)
        value: float | None = judged.value
        state: TrialState = "pruned" if judged.pruned else "complete"
    except (TrainingError, torch.OutOfMemoryError) as error:
        value, state, reason = max(curve, default=None), "failed", str(error).partition("\n")[0]
    trial = Trial(
        number=proposal.number,
        state=state,
        parameters=proposal.parameters,
        value=value,
        curve=tuple(curve),
        seconds=round(time.perf_counter() - start, 3),
        reason=reason,
    )
    search.finish(proposal, trial)
    logger.info("trial %d %s (%d of %d): %s", trial.number, state, trial.number + 1, search.planned, _words(trial))
    return trial


def _words(trial: Trial) -> str:
    """A trial for the log."""
    value = "no value" if trial.value is None else f"AUROC {trial.value:.4f}"
    tried = ", ".join(
        f"{name}={tried:.4g}" if isinstance(tried, float) else f"{name}={tried}"
        for name, tried in trial.parameters.items()
    )
    return f"{value} with {tried}" + ("" if trial.reason is None else f": {trial.reason}")
