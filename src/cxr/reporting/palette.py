"""Colours that mean the same in every figure."""

from collections.abc import Sequence

GREY, GRID, INK = "#6b7280", "#e5e7eb", "#1b1f24"
_FINDINGS = ("#1f6f9f", "#c4622d", "#7b3f98", "#3f7d4e", "#8a6d1f", "#4b5563")


def finding_colours(findings: Sequence[str]) -> dict[str, str]:
    """One colour per finding, by its place in the taxonomy; told apart with the common colour blindnesses.

    >>> finding_colours(("Normal", "Pneumonia"))
    {'Normal': '#1f6f9f', 'Pneumonia': '#c4622d'}
    """
    return {finding: _FINDINGS[number % len(_FINDINGS)] for number, finding in enumerate(findings)}
