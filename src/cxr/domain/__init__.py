"""The words of the field: radiograph, study, finding, taxonomy, split. Standard library only."""

from cxr.domain.radiograph import AgeGroup, Radiograph, Sex, View
from cxr.domain.split import Split
from cxr.domain.taxonomy import NORMAL, TAXONOMY, Taxonomy

__all__ = ["NORMAL", "TAXONOMY", "AgeGroup", "Radiograph", "Sex", "Split", "Taxonomy", "View"]
