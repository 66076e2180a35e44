"""The findings that the classifier tells apart, in their fixed order."""

from collections.abc import Iterator
from dataclasses import dataclass

_SYNONYMS = {
    "normal": "Normal",
    "healthy": "Normal",
    "no finding": "Normal",
    "pneumonia": "Pneumonia",
    "bacterial pneumonia": "Pneumonia",
    "viral pneumonia": "Pneumonia",
    "tuberculosis": "Tuberculosis",
    "tb": "Tuberculosis",
}


@dataclass(frozen=True)
class Taxonomy:
    """An ordered set of mutually exclusive findings; the order is that of every logit and probability vector."""

    findings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[str]:
        return iter(self.findings)

    def index(self, finding: str) -> int:
        """Position of `finding` in every output vector; raises `ValueError` when it is not a finding."""
        return self.findings.index(finding)

    def canonical(self, label: str | None) -> str | None:
        """The finding that a label written by a person means, or None when it means none of them.

        >>> TAXONOMY.canonical("TB"), TAXONOMY.canonical(" PNEUMONIA "), TAXONOMY.canonical("Fracture")
        ('Tuberculosis', 'Pneumonia', None)
        """
        if label is None:
            return None
        words = " ".join(label.replace("_", " ").replace("-", " ").lower().split())
        finding = _SYNONYMS.get(words, label.strip())
        return finding if finding in self.findings else None


NORMAL = "Normal"
"""The absence of every other finding."""

TAXONOMY = Taxonomy((NORMAL, "Pneumonia", "Tuberculosis"))
