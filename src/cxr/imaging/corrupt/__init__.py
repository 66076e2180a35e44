"""Graded corruptions of radiographs as batched tensor operations."""

from cxr.imaging.corrupt.catalogue import CORRUPTIONS, PRESETS, SEVERITIES, Corruption, corrupt

__all__ = ["CORRUPTIONS", "PRESETS", "SEVERITIES", "Corruption", "corrupt"]
