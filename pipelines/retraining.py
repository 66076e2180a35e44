"""The retraining pipeline: the same flow on what lies behind the address of the films now.

It is what a drift alert (`cxr.retraining`) and the monthly schedule (`python -m pipelines schedule`) start. Nobody says
whether films have changed, so that nothing is cached: a server that expands no macros in the arguments of a recurring
run (https://github.com/kubeflow/pipelines/issues/12494) cannot be given a new `data_version` every month.

New films make another test split. The gate then has the champion measured again, on the test films of its challenger.
"""

from pipelines.flow import make_pipeline

retraining = make_pipeline(
    name="retraining",
    description="From the films that are there now to a new champion, if the gate lets it pass.",
    promoted=True,
    fresh=True,
)
