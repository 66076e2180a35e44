"""Wall time of the training pipeline under KFP's local runner against the same steps called in one process.

    python bench/pipeline_overhead.py [--data phantom:240] [--recipe demo] [--set FIELD=VALUE …] [--rounds 1]

Both start from nothing, in new processes: no cache, no resume state, an empty tracking database. The pipeline's time
includes what it does around the steps: compiling, starting processes, collecting the folder of the run, the summary.
Processor time is printed as well, since neighbours on the machine disturb it less than wall time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cxr.contracts.resolve import recipe_text, resolve_recipe

ROOT = Path(__file__).parents[1]

STEPS = """
import sys
from pathlib import Path

from cxr.contracts.files import read_json
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import resolve_recipe
from cxr.steps import audit_shortcuts, evaluate, explain, fit_drift, fit_gate, ingest, package
from cxr.steps import register, report, robustness, split, train, tune

data, text, root = sys.argv[1], sys.argv[2], Path(sys.argv[3])
recipe, scratch, tracking = resolve_recipe(text), root / "scratch", f"sqlite:///{root}/mlflow.db"
films = {"studies": root / "studies", "split": root / "split"}
ingest.ingest(data=data, out=films["studies"], recipe=recipe)
split.split(studies=films["studies"], out=films["split"], recipe=recipe)
search = root / "search"
tune.tune(**films, recipe=recipe, out=search, scratch=scratch, tracking_uri=tracking)
best = read_json(search / "recipe.json", Recipe)
model = {**films, "checkpoint": root / "checkpoint"}
train.train(**films, recipe=best, out=model["checkpoint"], scratch=scratch)
measured = {name: root / name for name in ("evaluation", "robustness", "explanation")}
evaluation = measured["evaluation"]
evaluate.evaluate(**model, out=evaluation)
robustness.robustness(**model, evaluation=evaluation, out=measured["robustness"])
explain.explain(**model, evaluation=evaluation, out=measured["explanation"])
drift, bundle, registration = root / "drift", root / "bundle", root / "registration"
fit_drift.fit_drift(**model, out=drift)
fit_gate.fit_gate(**model, out=root / "gate")
audit_shortcuts.audit_shortcuts(**model, evaluation=evaluation, out=root / "audit")
package.package(**model, **measured, drift=drift, gate=root / "gate", audit=root / "audit", out=bundle)
register.register(
    bundle=bundle, evaluation=evaluation, search=search, out=registration, tracking_uri=tracking,
    model_name="cxr", experiment="cxr",
)
register.promote(registration=registration, out=root / "promotion", tracking_uri=tracking)
report.report(
    **model, **measured, search=search, bundle=bundle, registration=registration, out=root / "report"
)
"""


def main() -> None:
    """Time both, as often as asked and in turn, and print the ratio of the fastest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="phantom:240")
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    recipe = recipe_text(resolve_recipe(options.recipe, options.overrides))
    together, pipeline = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            together.append(seconds("-c", STEPS, options.data, recipe, folder))
        with tempfile.TemporaryDirectory() as folder:
            run = ("--data", options.data, "--recipe", recipe, "--run-dir", f"{folder}/run")
            pipeline.append(seconds("-m", "pipelines", "run", *run))
    print(f"{options.data}, recipe {options.recipe} {' '.join(options.overrides)}, best of {options.rounds}")
    (alone, alone_cpu), (whole, whole_cpu) = min(together), min(pipeline)
    print(f"steps in one process   {alone:7.1f} s   processor {alone_cpu:7.1f} s")
    print(f"pipeline               {whole:7.1f} s   processor {whole_cpu:7.1f} s")
    print(f"ratio                  {whole / alone:7.3f}     processor {whole_cpu / alone_cpu:7.3f}   (at most 1.10)")


def seconds(*arguments: str) -> tuple[float, float]:
    """Wall and processor time of a Python program; its output is shown only when it fails."""
    began, before = time.perf_counter(), os.times()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, processor


if __name__ == "__main__":
    main()
