"""The three disjoint parts of a data set."""

from enum import StrEnum


class Split(StrEnum):
    """Which part of the data a film belongs to. Test films are never seen before the final evaluation."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
