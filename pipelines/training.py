"""The training pipeline: from films to a registered, explained, servable bundle."""

from pipelines.flow import make_pipeline

training = make_pipeline(
    name="training",
    description="From films to a registered, explained, servable bundle.",
    promoted=False,
    fresh=False,
)
