"""Films into training, validation and test by patient, and into folds that leave one source out."""

from cxr.steps.split.folds import in_fold, leave_one_source_out
from cxr.steps.split.step import split, split_index

__all__ = ["in_fold", "leave_one_source_out", "split", "split_index"]
