"""A trained network on disk: weights, the recipe that made them, the taxonomy and the history."""

from typing import Literal

from cxr.contracts.files import Contract

WEIGHTS_FILE = "weights.safetensors"
RECIPE_FILE = "recipe.json"
TAXONOMY_FILE = "taxonomy.json"
HISTORY_FILE = "history.json"


class TaxonomyFile(Contract, frozen=True, kw_only=True):
    """The findings in the order of the logits."""

    version: Literal[1] = 1
    findings: tuple[str, ...]


class Epoch(Contract, frozen=True, kw_only=True):
    """One pass over the training films. Seconds are wall time; the learning rate is the last one used."""

    epoch: int
    loss: float
    learning_rate: float
    validation_loss: float
    validation_accuracy: float
    validation_macro_auroc: float
    seconds: float
    films_per_second: float


class History(Contract, frozen=True, kw_only=True):
    """How training went.

    Attributes:
        initial_weights: "imagenet", "random" or the digest of the file given.
        best_epoch: the epoch whose (averaged) weights the checkpoint holds, but for a head that was fitted again.
        stopped: "schedule" when all epochs ran, "patience" when validation stopped improving, "pruned" in a search.
        index: digest of the study index that it was trained on.
        finished: when the training ended, ISO 8601 in UTC to the second. The bundle's date: packing a checkpoint again
            gives the same bundle.
        refit_seconds: what fitting the head again took, wall time; 0 where it was left as it was.
    """

    version: Literal[1] = 1
    initial_weights: str
    best_epoch: int
    stopped: Literal["schedule", "patience", "pruned"]
    index: str
    device: str
    finished: str
    epochs: tuple[Epoch, ...]
    refit_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Wall time of training in all, without validation."""
        return sum(epoch.seconds for epoch in self.epochs) + self.refit_seconds
