"""A search in Katib: the step waits for it, and writes what a search on one machine writes."""

import logging
from pathlib import Path

from cxr.adapters.katib import Katib
from cxr.adapters.katib_experiment import check_katib, planned_trials, render_experiment
from cxr.adapters.katib_report import read_report
from cxr.adapters.kubernetes_api import connect
from cxr.adapters.search_log import SearchLog
from cxr.contracts.cluster import Cluster
from cxr.contracts.recipe import Recipe
from cxr.contracts.search_report import SearchReport
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import SearchError
from cxr.steps.cluster.discard import discard
from cxr.steps.cluster.films import share_films
from cxr.steps.search_files import write_search

logger = logging.getLogger(__name__)


def tune_in_katib(
    *,
    studies: Path,
    split: Path,
    recipe: Recipe,
    out: Path,
    scratch: Path,
    weights: Path | None,
    tracking_uri: str | None,
    experiment: str,
    cluster: Cluster,
) -> SearchReport:
    """Search the recipe's search space with trials in pods, and write the best recipe; see `cxr.steps.tune.tune`.

    The Experiment is named after recipe, films and pods, so that a step that was killed finds it again and goes on
    waiting. It is deleted when its result is written, or when it has failed, unless `cluster.search.keep`: then the
    same call gives the same result again, and the same failure. A step that is interrupted, or loses the cluster,
    leaves it running.

    Raises:
        RecipeError: the search space does not fit the recipe, or Katib would search something else; nothing is created.
        ClusterError: the cluster cannot be reached or refuses, or `scratch` is not on the claim.
        SearchError: the search failed, has not ended in time, or no trial gave a usable objective.
    """
    check_katib(recipe)
    index = StudyIndex.read(split)
    films = share_films(studies=studies, split=split, weights=weights, scratch=scratch, claim=Path(cluster.mount))
    manifest = render_experiment(recipe, cluster, films, index=index.digest)
    name = manifest["metadata"]["name"]
    with connect() as api:
        katib = Katib(api, cluster.namespace)
        identity = katib.create(manifest)
        log = None if tracking_uri is None else SearchLog(tracking_uri, experiment, key=identity)
        try:
            katib.wait(name, planned=planned_trials(recipe), timeout_seconds=cluster.search.timeout_hours * 3600)
            report = read_report(katib.trials(name), recipe, index=index.digest, films=len(index.part(Split.TRAIN)))
        except SearchError as error:
            discard(katib.delete, name, noun="search", keep=cluster.search.keep)
            if log is not None:
                log.fail(str(error).partition("\n")[0])
            raise
        write_search(out, recipe, report)
        if log is not None:
            for trial in report.trials:
                log.trial(trial)
            log.end(report, out)
        discard(katib.delete, name, noun="search", keep=cluster.search.keep)
    return report
